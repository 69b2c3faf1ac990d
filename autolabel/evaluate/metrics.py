"""COCO's matching by pycocotools, and average precision from it for weighted images.

A bootstrap sample is a number of times that each image is drawn. pycocotools would accumulate the
repeated images anew for each sample; here the samples share one sort and are summed up together,
and the result is the same to the last digit but rounding.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from autolabel.ops.boxes import box_areas, xyxy_to_xywh
from autolabel.types import Objects

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

COCO_IOUS = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds of COCO's AP; AP50 is the first of them and AP75 the sixth."""

_RECALLS = np.linspace(0, 1, 101)
_ALL_SIZES = [0, 1e10]  # what COCO calls area=all
_AT_ONCE = 4_000_000  # numbers in an intermediate array


@dataclass(frozen=True)
class Matched:
    """The predictions of one class against hand labels, best score first.

    Attributes:
        image: (d,) index of the image of each prediction.
        hit, miss: (t, d) whether it is a true or a false positive at each IoU threshold; neither
            where it lies on what is to be ignored.
        positives: (n,) hand-labelled objects of the class in each image.
    """

    image: npt.NDArray[np.int64]
    hit: Bools
    miss: Bools
    positives: npt.NDArray[np.int64]


def match_boxes(
    predicted: Sequence[Objects],
    truth: Sequence[Objects],
    ignore: Sequence[Bools],
    names: Sequence[str],
    ious: npt.ArrayLike,
    max_per_image: int,
) -> list[Matched]:
    """Match the boxes of each image as COCOeval does, a `Matched` for each of `names`.

    Args:
        predicted: objects found in each of n images.
        truth: hand labels of the same images.
        ignore: (objects,) for each image, True where a hand label is to be ignored.
        names: the classes to compare; objects of others are left out.
        ious: (t,) thresholds from which a box counts as found.
        max_per_image: predictions of a class in one image beyond this many are not looked at.
    """
    ids = {name: i for i, name in enumerate(names, 1)}
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    images = [{"id": i} for i in range(1, len(truth) + 1)]
    shared = {"images": images, "categories": categories}
    flags = [np.zeros(len(objects), dtype=bool) for objects in predicted]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        evaluator = COCOeval(
            _coco({**shared, "annotations": _annotations(truth, ignore, ids)}),
            _coco({**shared, "annotations": _annotations(predicted, flags, ids)}),
            "bbox",
        )
        params = evaluator.params
        params.iouThrs, params.maxDets = np.atleast_1d(np.asarray(ious)), [max_per_image]
        params.areaRng, params.areaRngLbl = [_ALL_SIZES], ["all"]
        evaluator.evaluate()
    rows, count = evaluator.evalImgs, len(truth)
    return [
        _matched(rows[k * count : (k + 1) * count], len(params.iouThrs)) for k in range(len(names))
    ]


def _coco(dataset: dict[str, Any]) -> Any:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _annotations(
    images: Sequence[Objects], ignore: Sequence[Bools], ids: dict[str, int]
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for image_id, (objects, flags) in enumerate(zip(images, ignore, strict=True), 1):
        boxes, areas = xyxy_to_xywh(objects.xyxy).tolist(), box_areas(objects.xyxy).tolist()
        rows += [
            {
                "id": len(rows) + i,
                "image_id": image_id,
                "category_id": ids.get(objects.label[i - 1], 0),
                "bbox": boxes[i - 1],
                "area": areas[i - 1],
                "score": float(objects.score[i - 1]),
                "iscrowd": int(flags[i - 1]),
            }
            for i in range(1, len(objects) + 1)
        ]
    return [row for row in rows if row["category_id"]]


def _matched(rows: Sequence[dict[str, Any] | None], thresholds: int) -> Matched:
    """Join the images' results of one class, as `COCOeval.accumulate` does."""
    scores, images = [np.zeros(0)], [np.zeros(0, dtype=np.int64)]
    hits, ignored = ([np.zeros((thresholds, 0), dtype=bool)] for _ in range(2))
    positives = np.zeros(len(rows), dtype=np.int64)
    for i, row in enumerate(rows):
        if row is not None:
            scores.append(np.asarray(row["dtScores"], dtype=float))
            images.append(np.full(len(row["dtScores"]), i))
            hits.append(row["dtMatches"] > 0)
            ignored.append(np.asarray(row["dtIgnore"], dtype=bool))
            positives[i] = np.count_nonzero(np.asarray(row["gtIgnore"]) == 0)
    order = np.argsort(-np.concatenate(scores), kind="mergesort")
    hit, ignore = (np.concatenate(parts, axis=1)[:, order] for parts in (hits, ignored))
    return Matched(np.concatenate(images)[order], hit & ~ignore, ~hit & ~ignore, positives)


def average_precision(matched: Matched, weights: npt.NDArray[np.integer[Any]]) -> Floats:
    """101-point average precision of one class, for each sample and IoU threshold.

    Args:
        matched: the class.
        weights: (samples, n) how often each image counts.

    Returns:
        (samples, t); NaN where a sample has no hand-labelled object of the class.
    """
    thresholds, count = matched.hit.shape
    step = max(1, _AT_ONCE // max(1, thresholds * count))
    parts = [_precision(matched, weights[i : i + step]) for i in range(0, len(weights), step)]
    return np.concatenate(parts) if parts else np.zeros((0, thresholds))


def _precision(matched: Matched, weights: npt.NDArray[np.integer[Any]]) -> Floats:
    positives = weights @ matched.positives
    times = weights[:, None, matched.image]  # (samples, 1, d)
    hits = np.cumsum(times * matched.hit, axis=2, dtype=float)
    misses = np.cumsum(times * matched.miss, axis=2, dtype=float)
    precision = hits / (hits + misses + np.spacing(1))
    # The best precision at this recall or any higher one; a last 0 is for recalls not reached.
    best = np.maximum.accumulate(precision[..., ::-1], axis=2)[..., ::-1]
    best = np.concatenate([best, np.zeros((*best.shape[:2], 1))], axis=2)
    recall = hits / np.maximum(positives, 1)[:, None, None]
    result = np.full(best.shape[:2], np.nan)
    for sample in np.flatnonzero(positives):
        for t in range(best.shape[1]):
            at = np.searchsorted(recall[sample, t], _RECALLS, side="left")
            result[sample, t] = best[sample, t, at].mean()
    return result


def counts_per_image(matched: Matched) -> npt.NDArray[np.int64]:
    """True and false positives and false negatives of one class at the first IoU, (n, 3)."""
    n = len(matched.positives)
    tp = np.bincount(matched.image[matched.hit[0]], minlength=n)
    fp = np.bincount(matched.image[matched.miss[0]], minlength=n)
    return np.stack([tp, fp, matched.positives - tp], axis=1)
