"""A student's operating threshold: from which score what it finds is taken for found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.datasets.yolo_labels import from_yolo_label
from autolabel.metrics.curves import best_f1
from autolabel.metrics.matching import match_boxes
from autolabel.ops.images import decode, read_bytes
from autolabel.train.base import THRESHOLD, Student
from autolabel.train.dataset import Dataset
from autolabel.types import Objects

LOWEST = 0.01
"""Scores below it are not candidates."""

IOU = 0.5
MAX_OBJECTS = 300
_STEPS = 1000  # candidates lie a thousandth apart, so that the figure can be read and typed
_AT_ONCE = 16
_NO_LIMIT = 1_000_000


def choose_threshold(student: Student, data: Dataset, names: Sequence[str]) -> dict[str, Any]:
    """Choose the score from which F1 over all classes is best on the val part of the training set.

    The val part is auto-labelled: no hand label has a say. Of thresholds with equal F1 the highest
    is taken.

    Args:
        student: of the best epoch.
        data: what it was trained on.
        names: the classes in the order of their ids.

    Returns:
        ``score``; ``f1``, ``precision`` and ``recall`` from there up, at IoU 0.5; ``images`` and
        ``objects`` of the val part. Where there is none, or nothing to find in it, or nothing is
        found: `THRESHOLD`, and ``why`` in place of the figures.
    """
    found: list[Objects] = []
    truth: list[Objects] = []
    for chunk in _chunks(data.folder if data.val_images else None):
        pixels = [decode(read_bytes(image)) for image, _ in chunk]
        found += student.predict(pixels, min_score=LOWEST, max_objects=MAX_OBJECTS)
        for (_, label), image in zip(chunk, pixels, strict=True):
            height, width = image.shape[:2]
            text = label.read_text("ascii")
            truth.append(from_yolo_label(text, names, width, height, masks=False))
    objects = sum(map(len, truth))
    about = {"images": len(truth), "objects": objects}
    ignore = [np.zeros(len(one), bool) for one in truth]
    matched = match_boxes(found, truth, ignore, names, IOU, _NO_LIMIT) if truth else []
    best = best_f1([replace(one, score=_stepped(one.score)) for one in matched])
    if best is None or not best.f1:
        why = _why_not(len(truth), objects)
        return {"score": THRESHOLD, "why": why, **about}
    figures = best.model_dump(include={"f1", "precision", "recall"})
    return {"score": round(best.threshold, 3), **figures, **about}


def _stepped(score: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Scores rounded down to the candidates."""
    return (np.floor(score * _STEPS) / _STEPS).astype(np.float32)


def _chunks(folder: Path | None) -> Iterator[list[tuple[Path, Path]]]:
    """Iterate over images of the val part with their label files, a few at a time."""
    if folder is None:
        return
    images = sorted((folder / "images" / "val").iterdir())
    pairs = [(image, folder / "labels" / "val" / f"{image.stem}.txt") for image in images]
    yield from (pairs[i : i + _AT_ONCE] for i in range(0, len(pairs), _AT_ONCE))


def _why_not(images: int, objects: int) -> str:
    if not images:
        return "no image could be spared to choose it on"
    if not objects:
        return "the images set aside show no object"
    return "nothing is found in the images set aside"
