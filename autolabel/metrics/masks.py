"""How well masks fit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel.metrics.bootstrap import interval
from autolabel.metrics.confusion import pair_boxes
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.figures import known, mean_ap, ratio
from autolabel.metrics.matching import COCO_IOUS, MAX_PER_IMAGE, match_by_size
from autolabel.metrics.result import MaskFigures
from autolabel.ops import masks
from autolabel.ops.arrays import Floats, Ints
from autolabel.types import Objects


def mask_figures(
    found: Sequence[Objects],
    against: EvaluationSet,
    iou: float,
    at_least: float,
    weights: Ints,
) -> MaskFigures | None:
    """Measure AP of masks, and how well the masks of rightly found objects fit; None without masks.

    Every hand-labelled object must have a mask, and something that was found; what was found
    without one counts as an empty mask. The mean IoU is over the pairs of one class whose *boxes*
    match at the operating point, so that a bad mask pulls it down instead of leaving it.
    """
    labels = [objects.mask[~flags] for objects, flags in against.labelled()]
    if not _all_there(labels) or not any(mask is not None for o in found for mask in o.mask):
        return None
    sides = against.sides_wh
    by_class = match_by_size(
        [_with_masks(*pair) for pair in zip(found, sides, strict=True)],
        [_with_masks(*pair) for pair in zip(against.truth, sides, strict=True)],
        against.ignore, against.classes, COCO_IOUS, MAX_PER_IMAGE, sizes=("all",), masks_wh=sides,
    )["all"]  # fmt: skip
    fits = _fits(found, against, iou, at_least)
    sums = np.array([[sum(one), len(one)] for one in fits]).reshape(-1, 2)

    def sampled(weights: Ints) -> dict[str, Floats]:
        ap = mean_ap(by_class, weights)
        means = {"ap": ap.mean(axis=1), "ap50": ap[:, 0], "ap75": ap[:, 5]}
        return {**means, "mean_iou": ratio(*(weights @ sums).T)}

    once = sampled(np.ones((1, len(sides)), np.int64))
    drawn = sampled(weights) if len(weights) else {}
    return MaskFigures(
        **{name: known(values[0]) for name, values in once.items()},
        intervals={name: interval(values) for name, values in drawn.items()},
    )


def _all_there(labels: Sequence[npt.NDArray[np.object_]]) -> bool:
    flat = [mask for one in labels for mask in one]
    return bool(flat) and all(mask is not None for mask in flat)


def _with_masks(objects: Objects, side_wh: tuple[int, int]) -> Objects:
    """Return the objects, with an empty mask where there is none."""
    if not any(mask is None for mask in objects.mask):
        return objects
    width, height = side_wh
    (empty,) = masks.encode(np.zeros((1, height, width), bool))
    filled = objects.mask.copy()
    filled[[mask is None for mask in objects.mask]] = empty
    return replace(objects, mask=filled)


def _fits(
    found: Sequence[Objects], against: EvaluationSet, iou: float, at_least: float
) -> list[list[float]]:
    """Return for each image the IoU of the masks of each pair of boxes of one class."""
    fits: list[list[float]] = []
    both = zip(found, against.labelled(), against.sides_wh, strict=True)
    for objects, (labels, flags), (width, height) in both:
        sure = objects[objects.score >= np.float32(at_least)]
        real = labels[~flags]
        one: list[float] = []
        for name in against.classes:
            ours, theirs = sure[sure.label == name], real[real.label == name]
            for i, j in pair_boxes(ours, theirs, iou):
                if ours.mask[i] is not None:
                    fit = masks.iou([ours.mask[i]], [theirs.mask[j]], height, width)
                    one.append(fit.item())
        fits.append(one)
    return fits
