"""COCO's matching of predictions with hand labels, by pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from autolabel.ops import masks
from autolabel.ops.arrays import Bools, Ints
from autolabel.ops.boxes import box_areas, xyxy_to_xywh
from autolabel.types import Objects

COCO_IOUS = np.linspace(0.5, 0.95, 10)
"""The IoU thresholds of COCO's AP; AP50 is the first of them and AP75 the sixth."""

SIZES: Mapping[str, tuple[float, float]] = {
    "all": (0, 1e10),
    "small": (0, 32**2),
    "medium": (32**2, 96**2),
    "large": (96**2, 1e10),
}
"""COCO's sizes: the area in square pixels from and to which an object is of that size."""

MAX_PER_IMAGE = 100
"""Predictions of a class in one image beyond this many are not looked at for AP, as in COCO."""


@dataclass(frozen=True)
class Matched:
    """The predictions of one class against hand labels, best score first.

    Attributes:
        image: (d,) index of the image of each prediction.
        score: (d,) of each prediction, float32 as it is stored.
        hit, miss: (t, d) whether it is a true or a false positive at each IoU threshold; neither
            where it lies on what is to be ignored.
        positives: (n,) hand-labelled objects of the class in each image.
    """

    image: Ints
    score: npt.NDArray[np.float32]
    hit: Bools
    miss: Bools
    positives: Ints


def match_boxes(
    predicted: Sequence[Objects],
    truth: Sequence[Objects],
    ignore: Sequence[Bools],
    names: Sequence[str],
    ious: npt.ArrayLike,
    max_per_image: int,
) -> list[Matched]:
    """Match the boxes of each image as COCOeval does, whatever their size; see `match_by_size`."""
    return match_by_size(predicted, truth, ignore, names, ious, max_per_image, sizes=("all",))[
        "all"
    ]


def match_by_size(
    predicted: Sequence[Objects],
    truth: Sequence[Objects],
    ignore: Sequence[Bools],
    names: Sequence[str],
    ious: npt.ArrayLike,
    max_per_image: int,
    *,
    sizes: Sequence[str] = tuple(SIZES),
    masks_wh: Sequence[tuple[int, int]] | None = None,
) -> dict[str, list[Matched]]:
    """Match the objects of each image as COCOeval does: for each size a `Matched` by class.

    For a size, hand labels of another are to be ignored, and so are predictions of another that
    find nothing.

    Args:
        predicted: objects found in each of n images.
        truth: hand labels of the same images.
        ignore: (objects,) for each image, True where a hand label is to be ignored.
        names: the classes to compare; objects of others are left out.
        ious: (t,) thresholds from which an object counts as found.
        max_per_image: predictions of a class in one image beyond this many are not looked at.
        sizes: keys of `SIZES`; of a box its own area counts, of a mask that of the mask.
        masks_wh: width and height of each image, to compare masks instead of boxes; every object
            must have one.
    """
    ids = {name: i for i, name in enumerate(names, 1)}
    categories = [{"id": i, "name": name} for name, i in ids.items()]
    sides = masks_wh or [(0, 0)] * len(truth)
    images = [{"id": i, "width": w, "height": h} for i, (w, h) in enumerate(sides, 1)]
    shared = {"images": images, "categories": categories}
    flags = [np.zeros(len(objects), dtype=bool) for objects in predicted]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints as it goes
        evaluator = COCOeval(
            _coco({**shared, "annotations": _annotations(truth, ignore, ids, masks_wh)}),
            _coco({**shared, "annotations": _annotations(predicted, flags, ids, masks_wh)}),
            "segm" if masks_wh else "bbox",
        )
        params = evaluator.params
        params.iouThrs, params.maxDets = np.atleast_1d(np.asarray(ious)), [max_per_image]
        params.areaRng, params.areaRngLbl = [SIZES[name] for name in sizes], list(sizes)
        evaluator.evaluate()
    rows, n, t = evaluator.evalImgs, len(truth), len(params.iouThrs)
    starts = {
        size: [(k * len(sizes) + a) * n for k in range(len(names))] for a, size in enumerate(sizes)
    }
    return {size: [_matched(rows[i : i + n], t) for i in at] for size, at in starts.items()}


def _coco(dataset: dict[str, Any]) -> Any:
    coco = COCO()
    coco.dataset = dataset
    coco.createIndex()
    return coco


def _annotations(
    images: Sequence[Objects],
    ignore: Sequence[Bools],
    ids: dict[str, int],
    masks_wh: Sequence[tuple[int, int]] | None = None,
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for at, (objects, flags) in enumerate(zip(images, ignore, strict=True)):
        boxes, areas = xyxy_to_xywh(objects.xyxy).tolist(), box_areas(objects.xyxy).tolist()
        shapes: list[dict[str, Any]] = [{} for _ in boxes]
        if masks_wh:
            width, height = masks_wh[at]
            areas = masks.areas(objects.mask.tolist(), height, width).tolist()
            rle = masks.as_coco(objects.mask.tolist(), height, width)
            shapes = [{"segmentation": one} for one in rle]
        rows += [
            {
                "id": len(rows) + i + 1,
                "image_id": at + 1,
                "category_id": ids.get(objects.label[i], 0),
                "bbox": boxes[i],
                "area": areas[i],
                "score": float(objects.score[i]),
                "iscrowd": int(flags[i]),
                **shapes[i],
            }
            for i in range(len(objects))
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
    score = np.concatenate(scores)[order].astype(np.float32)
    return Matched(np.concatenate(images)[order], score, hit & ~ignore, ~hit & ~ignore, positives)


def counts_per_image(matched: Matched, at_least: float = 0.0) -> Ints:
    """True and false positives and false negatives of one class at the first IoU, (n, 3).

    Args:
        matched: the class.
        at_least: lowest score of a prediction that counts. What a better prediction is matched
            with does not depend on worse ones, so that nothing has to be matched anew.
    """
    n = len(matched.positives)
    # Scores are stored as float32, in which 0.35 is a little less than 0.35.
    sure = matched.score >= np.float32(at_least)
    tp = np.bincount(matched.image[matched.hit[0] & sure], minlength=n)
    fp = np.bincount(matched.image[matched.miss[0] & sure], minlength=n)
    return np.stack([tp, fp, matched.positives - tp], axis=1)
