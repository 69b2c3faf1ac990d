"""Which class is taken for which."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco

from autolabel.ops.arrays import Bools, Floats
from autolabel.ops.boxes import xyxy_to_xywh
from autolabel.types import Objects

BACKGROUND = "background"


def pair_boxes(found: Objects, truth: Objects, iou: float) -> list[tuple[int, int]]:
    """Pair predictions with hand labels of one image whatever their classes: (prediction, label).

    Pairs with the highest IoU are taken first, each box once, down to `iou`; of equal ones those
    of one class, then those with the higher score.
    """
    overlap = box_overlap(found, truth)
    rows, columns = np.nonzero(overlap >= iou)
    same = found.label[rows] == truth.label[columns]
    order = np.lexsort((-found.score[rows], ~same.astype(bool), -overlap[rows, columns]))
    pairs: list[tuple[int, int]] = []
    used: tuple[set[int], set[int]] = (set(), set())
    for i in order.tolist():
        row, column = int(rows[i]), int(columns[i])
        if row not in used[0] and column not in used[1]:
            pairs.append((row, column))
            used[0].add(row)
            used[1].add(column)
    return pairs


def confusion_matrix(
    found: Sequence[Objects],
    truth: Sequence[Objects],
    ignore: Sequence[Bools],
    names: Sequence[str],
    iou: float,
) -> list[list[int]]:
    """Count how often each class of the hand labels (rows) is taken for which (columns).

    Predictions and hand labels are paired by overlap alone, whatever their classes
    (`pair_boxes`), unlike for AP, precision and recall, where only boxes of one class match. So
    the diagonal may differ a little from the true positives. The last row holds predictions where
    there is nothing, the last column hand labels that nothing was found for. Predictions on what
    is to be ignored are left out.

    Args:
        found: predictions at the operating point, by image.
        truth: hand labels of the same images.
        ignore: (objects,) for each image, True where a hand label is to be ignored.
        names: the k measured classes; objects of others are left out.
        iou: from which a box counts as found.

    Returns:
        (k + 1, k + 1).
    """
    index = {name: i for i, name in enumerate(names)}
    matrix = np.zeros((len(names) + 1, len(names) + 1), dtype=np.int64)
    for objects, labels, flags in zip(found, truth, ignore, strict=True):
        objects = objects[np.array([x in index for x in objects.label], bool)]
        known = np.array([x in index for x in labels.label], bool)
        real, passed = labels[known & ~flags], labels[known & flags]
        pairs = pair_boxes(objects, real, iou)
        excused = (box_overlap(objects, passed, crowd=True) >= iou).any(axis=1)
        for row, column in pairs:
            matrix[index[real.label[column]], index[objects.label[row]]] += 1
        rows, columns = {row for row, _ in pairs}, {column for _, column in pairs}
        for i in set(range(len(objects))) - rows - set(np.flatnonzero(excused).tolist()):
            matrix[-1, index[objects.label[i]]] += 1
        for i in set(range(len(real))) - columns:
            matrix[index[real.label[i]], -1] += 1
    return matrix.tolist()


def box_overlap(found: Objects, truth: Objects, *, crowd: bool = False) -> Floats:
    """Return the IoU of every pair (found, truth); of a crowd, the share of the box in it."""
    if not len(found) or not len(truth):
        return np.zeros((len(found), len(truth)))
    boxes = (np.asarray(xyxy_to_xywh(o.xyxy), np.float64) for o in (found, truth))
    return np.asarray(coco.iou(*boxes, [int(crowd)] * len(truth)), np.float64)
