"""The figures of one thing that is measured, for each bootstrap sample of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.metrics.average_precision import average_precision
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.matching import (
    COCO_IOUS,
    MAX_PER_IMAGE,
    Matched,
    counts_per_image,
    match_boxes,
    match_by_size,
)
from autolabel.ops.arrays import Floats, Ints
from autolabel.types import Objects

FIGURES = (
    "ap", "ap50", "ap75", "ap_small", "ap_medium", "ap_large", "precision", "recall", "f1",
)  # fmt: skip
"""AP as COCO defines it, over all sizes and by size; precision, recall and F1 at the operating
point. AP is the mean over the classes that have hand-labelled objects; the others count the
objects of all measured classes together."""

_NO_LIMIT = 1_000_000


@dataclass(frozen=True, eq=False)
class Matches:
    """For k classes and n images.

    Attributes:
        by_size: for AP: size -> by class, at COCO's thresholds.
        there: by class, every prediction at the IoU of the operating point.
        counts: (k, n, 3) true positives, false positives, false negatives at the operating point.
    """

    by_size: Mapping[str, list[Matched]]
    there: list[Matched]
    counts: Ints

    def only(self, k: int) -> Matches:
        """Return the matches of one class."""
        by_size = {size: classes[k : k + 1] for size, classes in self.by_size.items()}
        return Matches(by_size, self.there[k : k + 1], self.counts[k : k + 1])


def match(found: Sequence[Objects], against: EvaluationSet, iou: float, at_least: float) -> Matches:
    """Match the boxes that were found in each photo, those of one class with each other."""
    given = (found, against.truth, against.ignore, against.classes)
    there = match_boxes(*given, iou, _NO_LIMIT)
    counts = [counts_per_image(one, at_least) for one in there]
    return Matches(
        match_by_size(*given, COCO_IOUS, MAX_PER_IMAGE),
        there,
        np.array(counts, dtype=np.int64).reshape(-1, len(against.truth), 3),
    )


def figures_of(matches: Matches, weights: Ints) -> dict[str, Floats]:
    """Return each of `FIGURES` for each sample of images, NaN where it is not defined.

    AP and recall are not defined without hand-labelled objects, precision not without predictions,
    F1 not without either.

    Args:
        matches: the classes to take together.
        weights: (samples, n) how often each image counts.
    """
    figures: dict[str, Floats] = {}
    for size, classes in matches.by_size.items():
        by_iou = mean_ap(classes, weights)
        if size == "all":
            figures |= {"ap": by_iou.mean(axis=1), "ap50": by_iou[:, 0], "ap75": by_iou[:, 5]}
        else:
            figures[f"ap_{size}"] = by_iou.mean(axis=1)
    tp, fp, fn = (weights @ matches.counts.sum(axis=0)).T
    return figures | {
        "precision": ratio(tp, tp + fp),
        "recall": ratio(tp, tp + fn),
        "f1": ratio(2 * tp, 2 * tp + fp + fn),
    }


def mean_ap(classes: Sequence[Matched], weights: Ints) -> Floats:
    """Return AP over the classes that have hand-labelled objects, (samples, IoU thresholds)."""
    if not classes:
        return np.full((len(weights), len(COCO_IOUS)), np.nan)
    aps = np.stack([average_precision(one, weights) for one in classes])
    return ratio(np.nan_to_num(aps).sum(axis=0), (~np.isnan(aps)).sum(axis=0))


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """Return `part / whole`, NaN where that is not defined."""
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def known(value: float) -> float | None:
    """Return a figure, or None where it is not defined."""
    return None if np.isnan(value) else float(value)
