"""Example crops that people have sorted, and the probe that learns from their vectors.

Examples are a folder with one subfolder per class, or any set of hand labels.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.datasets.ground_truth import read_hand_labels
from autolabel.datasets.held_out import held_out_photos
from autolabel.errors import AutolabelError, UsageError
from autolabel.models.base import Embedder
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.ops.crops import square_crop
from autolabel.ops.images import ImageError, content_id, decode, read_bytes
from autolabel.reading import parse_arrays
from autolabel.sources import find_images
from autolabel.stages.filter.evidence import ProbeAnswers
from autolabel.stages.filter.prototypes import LARGEST_FIT

PER_PASS = 64
"""Example crops that are in memory at a time."""

NEIGHBOURS = 5
"""Examples that vote, where there are as many."""

DATASET_FOLDERS = ("images", "labels", "annotations", "Annotations", "JPEGImages")
"""Subfolders of a dataset with hand labels; none of them is a class."""

Box = tuple[float, float, float, float]


# -- where they are -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Example:
    """One crop: its name, its file and that file's content; the whole image without a box."""

    name: str
    path: Path
    image_id: str
    box_xyxy: Box | None = None


@dataclass(frozen=True)
class Examples:
    """The examples of `find_examples`."""

    examples: tuple[Example, ...]

    def fingerprint(self, revision: str, context: float) -> str:
        """Return what changes when a crop, the model or the context does."""
        rows = [[e.name, e.image_id, e.box_xyxy] for e in self.examples]
        text = json.dumps([rows, revision, context]).encode()
        return hashlib.sha256(text).hexdigest()[:16]

    def embedded(self, embedder: Embedder, context: float) -> ExampleVectors:
        """Embed them; boxes get the context that labels get, whole images are crops already."""
        parts = []
        crops: list[Pixels] = []
        for crop in self._crops(context):
            crops.append(crop)
            if len(crops) == PER_PASS:
                parts.append(embedder.embed_images(crops))
                crops = []
        parts.append(embedder.embed_images(crops))
        return ExampleVectors(np.array([e.name for e in self.examples]), np.concatenate(parts))

    def _crops(self, context: float) -> Iterator[Pixels]:
        last: tuple[Path, Pixels] | None = None
        for example in self.examples:
            if last is None or last[0] != example.path:
                last = example.path, _pixels(example.path)
            image = last[1]
            if example.box_xyxy is None:
                yield square_crop(image, [0, 0, image.shape[1], image.shape[0]], 0)
            else:
                yield square_crop(image, example.box_xyxy, context)


def find_examples(folder: Path, ontology: Ontology, holdout: Sequence[str]) -> Examples:
    """Find example crops.

    Args:
        folder: subfolders of crops named as the classes (other names only compete), or hand labels
            as `read_ground_truth` reads them.
        ontology: the classes.
        holdout: files and folders of held-out photos, of which none may be an example.

    Raises:
        AutolabelError: nothing is there, fewer than two names have examples, none is a class, or a
            held-out photo is among them.
    """
    if not folder.exists():
        raise UsageError(f"{folder} does not exist", hint="--examples names a folder of crops")
    sorted_ = _sorted_crops(folder) if folder.is_dir() else []
    found = sorted_ or list(_hand_labels(folder))
    names = {example.name for example in found}
    if len(names) < 2 or not names & set(ontology.names):
        raise AutolabelError(
            f"{folder} has examples of {', '.join(sorted(names)) or 'nothing'}; a probe needs two "
            "names, one of them a class",
            hint=f"make a subfolder for each class: {', '.join(ontology.names)}",
        )
    held = {content_id(_bytes(path)) for path in held_out_photos(holdout)}
    for example in found:
        if example.image_id in held:
            raise AutolabelError(
                f"example {example.path} is a held-out photo",
                hint="what the labels are measured against must not shape them; take it out",
            )
    return Examples(tuple(found))


def _sorted_crops(folder: Path) -> list[Example]:
    found = []
    for sub in sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith(".")):
        if sub.name in DATASET_FOLDERS:
            return []
        paths = find_images([str(sub)]).paths
        found += [Example(sub.name, path, content_id(_bytes(path))) for path in paths]
    return found


def _hand_labels(path: Path) -> Iterator[Example]:
    for image in read_hand_labels(path).records:
        if image.path is None or image.image_id is None:
            continue
        usable = image.objects[~image.ignore]
        for label, box in zip(usable.label, usable.xyxy.tolist(), strict=True):
            yield Example(str(label), image.path, image.image_id, tuple(box))


def _bytes(path: Path) -> bytes:
    try:
        return read_bytes(path)
    except ImageError as e:
        raise AutolabelError(f"example {path} {e}", hint="fix or remove it") from e


def _pixels(path: Path) -> Pixels:
    try:
        return decode(_bytes(path))
    except ImageError as e:
        raise AutolabelError(f"example {path} is not usable: {e}", hint="fix or remove it") from e


# -- what they teach ----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class ExampleVectors:
    """The name of each example crop, and its vector, float32 (n, d) of length one."""

    names: npt.NDArray[np.str_]
    vectors: Vectors

    def to_bytes(self) -> bytes:
        """Return the file that keeps them; the same examples give the same bytes."""
        sink = io.BytesIO()
        np.savez_compressed(sink, names=self.names, vectors=self.vectors.astype(np.float16))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ExampleVectors:
        """Read what `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged.
        """
        arrays = parse_arrays(data, LARGEST_FIT)
        try:
            names, vectors = arrays["names"], arrays["vectors"].astype(np.float32)
        except (KeyError, TypeError) as e:
            raise ValueError(f"damaged: {e}") from e
        if vectors.ndim != 2 or names.shape != vectors.shape[:1]:
            raise ValueError("damaged")
        return cls(names, vectors)


@dataclass(frozen=True, eq=False)
class Probe:
    """Names crops as the examples like them are named.

    Attributes:
        examples: of at least two names.
        kind: `neighbours` (votes of the nearest, by distance) or `logistic` (regression with
            classes weighed equally; the usual linear probe on frozen features).
        classes: names that are classes of the ontology; the others only compete.
    """

    examples: ExampleVectors
    kind: str
    classes: frozenset[str]

    @cached_property
    def _model(self) -> Any:
        if self.kind == "neighbours":
            from sklearn.neighbors import KNeighborsClassifier

            count = min(NEIGHBOURS, len(self.examples.names))
            model = KNeighborsClassifier(n_neighbors=count, weights="distance", metric="cosine")
        else:
            from sklearn.linear_model import LogisticRegression

            # Vectors of length one are close together: without a weak penalty nothing is sure.
            model = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000)
        return model.fit(self.examples.vectors, self.examples.names)

    def answers(self, crops: Vectors) -> ProbeAnswers:
        """Name each crop of (n, d)."""
        found = self._model.predict_proba(crops)
        best = found.argmax(axis=1)
        names = np.array([str(n) for n in self._model.classes_[best]], object).reshape(len(best))
        probability = found[np.arange(len(best)), best].astype(np.float64)
        return ProbeAnswers(names, probability, self.classes)
