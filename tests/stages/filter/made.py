"""Labels and the vectors that they would have, for tests of evidence."""

from __future__ import annotations

import numpy as np

from autolabel.models.base import Scoring
from autolabel.stages.filter.prototypes import Prototypes, find_prototypes, kept_labels
from autolabel.stages.filter.texts import TextVectors
from autolabel.types import Objects, Record

CLIP_LIKE = Scoring(10.0, 0.0, False)
AXES = np.eye(4, dtype=np.float32)
TEXTS = TextVectors(("cat", "dog", "toy", "background"), 2, AXES, CLIP_LIKE)


def labels(*names: str) -> Objects:
    return Objects.create(names, [0.5] * len(names), [[0, 0, 9, 9]] * len(names))


def record(objects: Objects, **vectors: np.ndarray) -> Record:
    keyed = {name.replace("_", "/"): value for name, value in vectors.items()}
    return Record("a", "a", 20, 20, objects=objects, vectors=keyed)


def unit(rows: list[list[float]]) -> np.ndarray:
    array = np.array(rows, np.float32)
    return array / np.linalg.norm(array, axis=1, keepdims=True)


def cloud(rng: np.random.Generator, axis: int, count: int) -> np.ndarray:
    return unit((AXES[axis] + rng.normal(0, 0.1, (count, 4))).tolist())


def prototypes_of(*records: Record, neighbours: int = 2, share: float = 1.0) -> Prototypes:
    kept = kept_labels(records, "dinov2/crops")
    return find_prototypes(kept, neighbours=neighbours, share=share)
