"""Which boxes overlap, and which belong together."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from autolabel.ops.arrays import Floats, Ints
from autolabel.ops.boxes import xyxy_to_xywh

_ROWS = 256
"""Rows of the table of overlaps that are in memory at once."""


def overlapping(
    first_xyxy: npt.ArrayLike, second_xyxy: npt.ArrayLike, at_least: float
) -> tuple[Ints, Ints, Floats]:
    """Return the pairs of boxes that overlap, however many boxes there are.

    Args:
        first_xyxy, second_xyxy: boxes (n, 4) and (m, 4), pixels.
        at_least: lowest overlap (IoU), above 0.

    Returns:
        Indices in both, and the IoU, of each pair: (p,) arrays.

    Examples:
        >>> i, j, iou = overlapping([[0, 0, 4, 4]], [[0, 0, 4, 2], [8, 8, 9, 9]], 0.5)
        >>> i.tolist(), j.tolist(), iou.tolist()
        ([0], [0], [0.5])
    """
    first, second = xyxy_to_xywh(first_xyxy), xyxy_to_xywh(second_xyxy)
    found = [(np.zeros(0, int), np.zeros(0, int), np.zeros(0))]
    if len(second):
        for start in range(0, len(first), _ROWS):
            iou = rle.iou(first[start : start + _ROWS], second, [0] * len(second))
            i, j = np.nonzero(iou >= at_least)
            found.append((i + start, j, iou[i, j]))
    i, j, iou = (np.concatenate(column) for column in zip(*found, strict=True))
    return i, j, iou


def one_to_one(first: Ints, second: Ints, value: npt.ArrayLike) -> Iterator[tuple[int, int]]:
    """Yield pairs in which nothing comes twice: the highest value first, of equal ones the first.

    Args:
        first, second: indices of each pair, (p,).
        value: of each pair, (p,).

    Examples:
        >>> list(one_to_one(np.array([0, 0, 1]), np.array([0, 1, 0]), [0.9, 0.6, 0.8]))
        [(0, 0)]
    """
    taken_first: set[int] = set()
    taken_second: set[int] = set()
    for at in np.lexsort([second, first, -np.asarray(value, float)]):
        i, j = int(first[at]), int(second[at])
        if i not in taken_first and j not in taken_second:
            taken_first.add(i)
            taken_second.add(j)
            yield i, j
