"""Embed the crops of a layer's objects, and texts, once per model."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from autolabel import registry
from autolabel.models.base import Embedder, ImageTextEmbedder, Scoring, batch_size_of
from autolabel.ontology import Ontology
from autolabel.ops.crops import square_crop
from autolabel.stages.pixels import Photos
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Record

Vectors = npt.NDArray[np.float32]

BACKGROUND: Literal["background"] = "background"
"""Name of what a crop shows when it shows no class and no negative."""


class Embed:
    """Vectors of each object's crop and of the whole image; the objects themselves are left out.

    Args:
        located: the embedder's files.
        context: share of a box's side that is added at each side.
        source_root: folder that uris are relative to.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(
        self, located: registry.Located, context: float, source_root: Path, device: str
    ) -> None:
        self.context = context
        self.photos = Photos(source_root)
        self.embedder: Embedder = registry.load(located, device)
        self.batch_size = batch_size_of(self.embedder)

    def wants(self, record: Record) -> bool:
        """Images of the pool with objects; the others have no crops."""
        return record.usable and len(record.objects) > 0

    def prepare(self, record: Record) -> Record:
        """Read the pixels."""
        return self.photos.read(record)

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Records with vectors."""
        crops, counts = [], []
        for record in batch:
            boxes = record.objects.xyxy.tolist()
            image = record.image()
            crops += [square_crop(image, box, self.context) for box in boxes]
            crops.append(square_crop(image, [0, 0, image.shape[1], image.shape[0]], 0))
            counts.append(len(boxes) + 1)
        vectors = self.embedder.embed_images(crops)
        parts = np.split(vectors, np.cumsum(counts)[:-1])
        return [
            replace(record, vectors={CROPS: part[:-1], WHOLE: part[-1:]})
            for record, part in zip(batch, parts, strict=True)
        ]


@dataclass(frozen=True, eq=False)
class TextVectors:
    """What a crop is compared with: one vector for each class, each negative and background.

    Attributes:
        names: classes in their order, then the negatives, then `BACKGROUND`.
        classes: how many of the names are classes.
        vectors: float32 (names, d), each of length one.
        scoring: how the model turns a cosine into a chance.
    """

    names: tuple[str, ...]
    classes: int
    vectors: Vectors
    scoring: Scoring

    def to_json(self) -> bytes:
        """As the file that keeps them."""
        data = {**self.__dict__, "vectors": self.vectors.astype(float).round(8).tolist()}
        data["scoring"] = self.scoring.__dict__
        return json.dumps(data).encode()

    @classmethod
    def from_json(cls, data: Any) -> TextVectors:
        """The inverse of `to_json`, after parsing.

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
class Wording:
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
    def of(cls, ontology: Ontology, templates: Sequence[str], background: Sequence[str]) -> Wording:
        """Each prompt of a class and each negative in every template; background as it is too.

        >>> Wording.of(Ontology.from_prompts(["cat"]), ["a photo of a {}."], ["nothing"]).texts
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
        """Changes when a text does."""
        return hashlib.sha256(json.dumps([self.names, self.texts]).encode()).hexdigest()[:16]


def embed_texts(embedder: ImageTextEmbedder, wording: Wording) -> TextVectors:
    """The mean of a name's text vectors, as CLIP's ensemble over prompts does (arXiv 2103.00020).

    Raises:
        AutolabelError: a text is longer than the model reads.
    """
    flat = [text for texts in wording.texts for text in texts]
    vectors = embedder.embed_texts(flat)
    parts = np.split(vectors, np.cumsum([len(texts) for texts in wording.texts])[:-1])
    means = np.stack([part.mean(axis=0) for part in parts])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    return TextVectors(wording.names, wording.classes, means, embedder.scoring)
