"""The texts that crops are compared with: prompts in templates, and their vectors."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from autolabel.models.base import ImageTextEmbedder, Scoring
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Vectors

BACKGROUND: Literal["background"] = "background"
"""Name of what a crop shows when it shows no class and no negative."""


@dataclass(frozen=True, eq=False)
class TextVectors:
    """What a crop is compared with: one vector for each class, each negative and background.

    Attributes:
        names: classes in their order, then the negatives, then `BACKGROUND`.
        classes: how many of the names are classes.
        vectors: float32 (names, d), each of length one.
        scoring: how the model turns a cosine into a probability.
    """

    names: tuple[str, ...]
    classes: int
    vectors: Vectors
    scoring: Scoring

    def to_json(self) -> bytes:
        """Return the file that keeps them."""
        data = {**self.__dict__, "vectors": self.vectors.astype(float).round(8).tolist()}
        data["scoring"] = self.scoring.__dict__
        return json.dumps(data).encode()

    @classmethod
    def from_json(cls, data: Any) -> TextVectors:
        """Read what `to_json` gave, after parsing.

        Raises:
            ValueError: the data are damaged.
        """
        try:
            names, vectors = tuple(data["names"]), np.asarray(data["vectors"], np.float32)
            texts = cls(names, data["classes"], vectors, Scoring(**data["scoring"]))
        except (KeyError, TypeError, OverflowError) as e:
            raise ValueError(f"damaged: {e}") from e
        numbers = all(isinstance(v, int | float | None) for v in data["scoring"].values())
        if not (
            numbers
            and all(isinstance(name, str | None) for name in names)
            and type(texts.classes) is int
            and 0 <= texts.classes <= len(names)
            and vectors.ndim == 2
            and len(vectors) == len(names)
            and np.isfinite(vectors).all()
        ):
            raise ValueError("damaged")
        return texts


@dataclass(frozen=True)
class PromptTexts:
    """The texts that stand for each name.

    Attributes:
        names: as in `TextVectors`.
        classes: how many of the names are classes.
        texts: for each name, every prompt in every template.
    """

    names: tuple[str, ...]
    classes: int
    texts: tuple[tuple[str, ...], ...]

    @classmethod
    def of(
        cls, ontology: Ontology, templates: Sequence[str], background: Sequence[str]
    ) -> PromptTexts:
        """Fill each prompt of a class and each negative into every template.

        Background stays as it is.

        >>> PromptTexts.of(Ontology.from_prompts(["cat"]), ["a photo of a {}."], ["nothing"]).texts
        (('a photo of a cat.',), ('nothing',))
        """

        def filled(prompts: Sequence[str]) -> tuple[str, ...]:
            return tuple(t.replace("{}", p) for p in prompts for t in templates)

        texts = [filled(prompts) for prompts in ontology.classes.values()]
        texts += [filled([negative]) for negative in ontology.negatives]
        texts.append(tuple(background))
        names = (*ontology.names, *ontology.negatives, BACKGROUND)
        return cls(names, len(ontology.names), tuple(texts))

    def fingerprint(self) -> str:
        """Return what changes when a text does."""
        return hashlib.sha256(json.dumps([self.names, self.texts]).encode()).hexdigest()[:16]


def embed_texts(embedder: ImageTextEmbedder, prompts: PromptTexts) -> TextVectors:
    """Average each name's text vectors, as CLIP's ensemble over prompts does (arXiv 2103.00020).

    Raises:
        AutolabelError: a text is longer than the model reads.
    """
    flat = [text for texts in prompts.texts for text in texts]
    vectors = embedder.embed_texts(flat)
    parts = np.split(vectors, np.cumsum([len(texts) for texts in prompts.texts])[:-1])
    means = np.stack([part.mean(axis=0) for part in parts])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return TextVectors(prompts.names, prompts.classes, means, embedder.scoring)
