"""Small hand labels and predictions, and measuring the ones against the others."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from autolabel.config import EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.evaluate.photos import find_evaluation_set
from autolabel.metrics.bootstrap import draw
from autolabel.metrics.measure import measure
from autolabel.metrics.result import EntryFigures
from autolabel.ontology import Ontology
from autolabel.types import Objects, Record

ONTOLOGY = Ontology.from_prompts(["cat", "dog"])


def objects(*rows: tuple[str, float, list[float]], keep: bool = True) -> Objects:
    labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), ())
    return Objects.create(labels, scores, np.reshape(boxes, (-1, 4)), keep=[keep] * len(rows))


def true(*rows: tuple[str, list[float]]) -> Objects:
    return objects(*((label, 1.0, box) for label, box in rows))


def image(
    name: str, labels: Objects, *, image_id: str | None = None, ignore: Any = None, size: int = 100
) -> GroundTruthImage:
    flags = np.zeros(len(labels), bool) if ignore is None else np.array(ignore, bool)
    return GroundTruthImage(name, None, image_id, size, size, labels, flags)


def record(uri: str, found: Objects | None = None, **more: Any) -> Record:
    return Record(more.pop("image_id", uri), uri, 100, 100, objects=found or objects(), **more)


def truth_of(*images: GroundTruthImage, names: tuple[str, ...] = ("cat", "dog")) -> GroundTruth:
    return GroundTruth(names, images, Path("truth"), Path("truth"))


def config(**values: Any) -> EvaluateConfig:
    return EvaluateConfig(truth="truth", **{"bootstrap": 0, **values})


def evaluate(
    records: Sequence[Record], truth: GroundTruth, ontology: Ontology, config: EvaluateConfig
) -> SimpleNamespace:
    """What `measure` says of one layer, with the photos that it was measured on."""
    photos, (found,) = find_evaluation_set([records], truth, ontology, config.class_map)
    weights = draw(len(photos.names), config.bootstrap, config.seed)
    measured = measure(
        found, photos, score_threshold=config.score_threshold, iou=config.iou, weights=weights,
        worst=config.worst,
    )  # fmt: skip
    return SimpleNamespace(row=measured.figures, photos=photos, measured=measured)


def one(found: Objects, labels: Objects, ignore: Any = None, **values: Any) -> EntryFigures:
    """The row of a single image."""
    truth = truth_of(image("a.jpg", labels, ignore=ignore))
    row: EntryFigures = evaluate([record("a.jpg", found)], truth, ONTOLOGY, config(**values)).row
    return row
