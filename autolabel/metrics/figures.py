"""The figures of one thing that is measured, for each bootstrap sample of the images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.metrics.bootstrap import interval
from autolabel.metrics.confusion import pair_boxes
from autolabel.metrics.evaluation_set import Photos
from autolabel.metrics.metrics import (
    COCO_IOUS,
    MAX_PER_IMAGE,
    Matched,
    average_precision,
    counts_per_image,
    match_boxes,
    match_by_size,
)
from autolabel.ops import masks
from autolabel.types import Objects

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

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
        """One class."""
        by_size = {size: classes[k : k + 1] for size, classes in self.by_size.items()}
        return Matches(by_size, self.there[k : k + 1], self.counts[k : k + 1])


def match(found: Sequence[Objects], photos: Photos, iou: float, at_least: float) -> Matches:
    """Match the boxes that were found in each photo, those of one class with each other."""
    given = (found, photos.truth, photos.ignore, photos.classes)
    there = match_boxes(*given, iou, _NO_LIMIT)
    counts = [counts_per_image(one, at_least) for one in there]
    return Matches(
        match_by_size(*given, COCO_IOUS, MAX_PER_IMAGE),
        there,
        np.array(counts, dtype=np.int64).reshape(-1, len(photos.truth), 3),
    )


def figures_of(matches: Matches, weights: Ints) -> dict[str, Floats]:
    """Each of `FIGURES` for each sample of images, NaN where it is not defined.

    AP and recall are not without hand-labelled objects, precision without predictions, F1 without
    either.

    Args:
        matches: the classes to take together.
        weights: (samples, n) how often each image counts.
    """
    figures: dict[str, Floats] = {}
    for size, classes in matches.by_size.items():
        by_iou = _mean_ap(classes, weights)
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


def _mean_ap(classes: Sequence[Matched], weights: Ints) -> Floats:
    """(samples, thresholds), over the classes that have hand-labelled objects."""
    if not classes:
        return np.full((len(weights), len(COCO_IOUS)), np.nan)
    aps = np.stack([average_precision(one, weights) for one in classes])
    return ratio(np.nan_to_num(aps).sum(axis=0), (~np.isnan(aps)).sum(axis=0))


def ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    """`part / whole`, NaN where that is not defined."""
    result = np.full(part.shape, np.nan)
    np.divide(part, whole, out=result, where=whole > 0)
    return result


def known(value: float) -> float | None:
    """A figure, or None where it is not defined."""
    return None if np.isnan(value) else float(value)


# -- masks ------------------------------------------------------------------------------------


def mask_figures(
    found: Sequence[Objects],
    photos: Photos,
    iou: float,
    at_least: float,
    weights: Ints,
) -> dict[str, Any] | None:
    """AP of masks, and how well the masks of rightly found objects fit; None without masks.

    Every hand-labelled object must have a mask, and something that was found; what was found
    without one counts as an empty mask. The mean IoU is over the pairs of one class whose *boxes*
    match at the operating point, so that a bad mask pulls it down instead of leaving it.
    """
    labels = [objects.mask[~flags] for objects, flags in photos.labelled()]
    if not _all_there(labels) or not any(mask is not None for o in found for mask in o.mask):
        return None
    sides = photos.sides_wh
    by_class = match_by_size(
        [_with_masks(*pair) for pair in zip(found, sides, strict=True)],
        [_with_masks(*pair) for pair in zip(photos.truth, sides, strict=True)],
        photos.ignore, photos.classes, COCO_IOUS, MAX_PER_IMAGE, sizes=("all",), masks_wh=sides,
    )["all"]  # fmt: skip
    once = np.ones((1, len(sides)), np.int64)
    point, drawn = _mean_ap(by_class, once), _mean_ap(by_class, weights)
    fits = _fits(found, photos, iou, at_least)
    sums = np.array([[sum(one), len(one)] for one in fits]).reshape(-1, 2)
    names = {"ap": slice(None), "ap50": slice(0, 1), "ap75": slice(5, 6)}
    samples = {name: drawn[:, at].mean(axis=1) for name, at in names.items()}
    samples["mean_iou"] = ratio(*(weights @ sums).T)
    result: dict[str, Any] = {n: known(point[0, at].mean()) for n, at in names.items()}
    result["mean_iou"] = known(ratio(*(once @ sums).T)[0])
    result["intervals"] = _mask_intervals(samples) if len(weights) else {}
    return result


def _mask_intervals(samples: Mapping[str, Floats]) -> dict[str, list[float] | None]:
    return {name: interval(values) for name, values in samples.items()}


def _all_there(labels: Sequence[npt.NDArray[np.object_]]) -> bool:
    flat = [mask for one in labels for mask in one]
    return bool(flat) and all(mask is not None for mask in flat)


def _with_masks(objects: Objects, side_wh: tuple[int, int]) -> Objects:
    """The objects, with an empty mask where there is none."""
    if not any(mask is None for mask in objects.mask):
        return objects
    width, height = side_wh
    (empty,) = masks.encode(np.zeros((1, height, width), bool))
    filled = objects.mask.copy()
    filled[[mask is None for mask in objects.mask]] = empty
    return replace(objects, mask=filled)


def _fits(
    found: Sequence[Objects], photos: Photos, iou: float, at_least: float
) -> list[list[float]]:
    """For each image the IoU of the masks of each pair of boxes of one class."""
    fits: list[list[float]] = []
    both = zip(found, photos.labelled(), photos.sides_wh, strict=True)
    for objects, (labels, flags), (width, height) in both:
        sure = objects[objects.score >= np.float32(at_least)]
        real = labels[~flags]
        one: list[float] = []
        for name in photos.classes:
            ours, theirs = sure[sure.label == name], real[real.label == name]
            for i, j in pair_boxes(ours, theirs, iou):
                if ours.mask[i] is not None:
                    fit = masks.iou([ours.mask[i]], [theirs.mask[j]], height, width)
                    one.append(fit.item())
        fits.append(one)
    return fits
