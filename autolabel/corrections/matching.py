"""Two sets of labels of one image, object by object: what is as it was, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autolabel.ops import masks
from autolabel.ops.arrays import Floats, Ints, Vectors
from autolabel.ops.pairs import one_to_one, overlapping
from autolabel.types import Objects

SAME_PX = 1.0
"""Pixels that a corner may be off for a box to be as it was: formats round."""
SAME_MASK_IOU = 0.7
"""Overlap from which a mask is as it was: an outline in place of pixels loses some at the edge."""
MOVED_IOU = 0.5
"""Overlap from which a box that differs is the same object, moved."""


@dataclass(frozen=True)
class Matches:
    """The objects of `before` and `after` by what became of them, as indices.

    Attributes:
        same: (before, after) of objects that are as they were.
        moved: of those with another box or mask.
        relabelled: of those with another class, moved or not.
        removed: of `before` alone.
        added: of `after` alone.
    """

    same: list[tuple[int, int]] = field(default_factory=list)
    moved: list[tuple[int, int]] = field(default_factory=list)
    relabelled: list[tuple[int, int]] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    added: list[int] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether anything is not as it was."""
        return bool(self.moved or self.relabelled or self.removed or self.added)


def match_objects(
    before: Objects, after: Objects, size_wh: tuple[int, int], same_px: float = SAME_PX
) -> Matches:
    """Pair the objects of two sets of labels of one image, each with one other at most.

    First what is as it was, then what has the same class and overlaps by `MOVED_IOU` or more, then
    what overlaps so and has another class; the largest overlap first. A format of masks alone gives
    the box around a mask, not the one that its object had: that is as it was too.

    Args:
        before, after: all of their objects count, whether kept or not.
        size_wh: of the image, pixels; masks have that size.
        same_px: how far corners of a box that is as it was may be off.
    """
    found = Matches()
    left, right = set(range(len(before))), set(range(len(after)))

    def take(i: Ints, j: Ints, value: Floats, pairs: list[tuple[int, int]]) -> None:
        open_ = np.array([a in left and b in right for a, b in zip(i, j, strict=True)], bool)
        for pair in one_to_one(i[open_], j[open_], value[open_]):
            pairs.append(pair)
            left.discard(pair[0])
            right.discard(pair[1])

    i, j = _near(before.xyxy, after.xyxy, same_px)
    masked, drawn = _masked(before), _masked(after)
    around = masks.boxes(before.mask[masked].tolist(), size_wh[1], size_wh[0])
    k, m = _near(around, after.xyxy[drawn], same_px)
    i, j = np.concatenate([i, masked[k]]), np.concatenate([j, drawn[m]])
    alike = before.label[i] == after.label[j]
    same = [_same_mask(before.mask[a], after.mask[b], size_wh) for a, b in zip(i, j, strict=True)]
    alike &= np.array(same, bool)
    off = np.abs(before.xyxy[i] - after.xyxy[j]).sum(axis=1)
    take(i[alike], j[alike], -off[alike].astype(np.float64), found.same)
    i, j, iou = overlapping(before.xyxy, after.xyxy, MOVED_IOU)
    alike = before.label[i] == after.label[j]
    take(i[alike], j[alike], iou[alike], found.moved)
    take(i[~alike], j[~alike], iou[~alike], found.relabelled)
    return Matches(found.same, found.moved, found.relabelled, sorted(left), sorted(right))


def _near(before: Vectors, after: Vectors, same_px: float) -> tuple[Ints, Ints]:
    """Return the pairs of boxes whose corners are all near, by a walk along the left sides."""
    order = np.argsort(after[:, 0], kind="stable")
    sides = after[order, 0]
    low = np.searchsorted(sides, before[:, 0] - same_px, "left")
    high = np.searchsorted(sides, before[:, 0] + same_px, "right")
    first, second = [np.zeros(0, int)], [np.zeros(0, int)]
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        off = np.abs(after[order[a:b]] - before[i]).max(axis=1, initial=0)
        near = order[a:b][off <= same_px]
        first.append(np.full(len(near), i))
        second.append(near)
    return np.concatenate(first), np.concatenate(second)


def _same_mask(before: bytes | None, after: bytes | None, size_wh: tuple[int, int]) -> bool:
    """Tell whether a mask is as it was; a format without masks says nothing against it."""
    if before is None or after is None or before == after:
        return True
    width, height = size_wh
    return bool(masks.iou([before], [after], height, width)[0, 0] >= SAME_MASK_IOU)


def _masked(objects: Objects) -> Ints:
    """Return which objects have a mask, as indices."""
    return np.flatnonzero([mask is not None for mask in objects.mask])
