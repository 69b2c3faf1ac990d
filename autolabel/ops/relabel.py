"""Objects whose classes are called otherwise, are one class now, or are dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel.ops.arrays import Bools
from autolabel.ops.pairs import overlapping
from autolabel.types import Objects

DROPPED = "relabel: class dropped"
"""Reason of an object whose class was dropped."""
REPEATED = "relabel: same box as a better one"
"""Reason of the worse of two boxes that one class has since others were merged to it."""
SAME_IOU = 0.9
"""Overlap from which two boxes of merged classes are one object."""


def relabelled(objects: Objects, new: Mapping[str, str | None]) -> Objects:
    """Return the same objects in the same order, by the new names of their classes.

    What is of a dropped class is rejected, and keeps that name. Of two kept boxes of one class that
    coincide by `SAME_IOU` and were of two classes before, the lower-scored is rejected, of equal
    ones the later; never one that a person corrected.

    Args:
        objects: of one image.
        new: old name -> new name, None where the class is dropped; other names stay.

    Examples:
        >>> one = Objects.create(["cat", "dog"], [0.5, 0.9], [[0, 0, 9, 9], [0, 0, 9, 9]])
        >>> done = relabelled(one, {"cat": "pet", "dog": "pet"})
        >>> done.label.tolist(), done.keep.tolist()
        (['pet', 'pet'], [False, True])
    """
    if len(objects) == 0:
        return objects
    label, reason = objects.label.copy(), objects.reason.copy()
    gone = np.array([new.get(name, name) is None for name in label], bool)
    label[:] = [new.get(name) or name for name in label]
    reason[objects.keep & gone] = DROPPED
    named = replace(objects, label=label, keep=objects.keep & ~gone, reason=reason)
    repeated = _repeated(objects.label, named)
    reason = named.reason.copy()
    reason[repeated] = REPEATED
    return replace(named, keep=named.keep & ~repeated, reason=reason)


def _repeated(before: npt.NDArray[np.object_], objects: Objects) -> Bools:
    """Say which kept objects repeat a better one of their class that was of another before."""
    repeated = np.zeros(len(objects), bool)
    changed = {new for old, new in zip(before, objects.label, strict=True) if old != new}
    at = np.flatnonzero(objects.keep & np.isin(objects.label.astype(str), sorted(changed)))
    locked = objects.locked
    first, second, _ = overlapping(objects.xyxy[at], objects.xyxy[at], SAME_IOU)
    rivals: dict[int, list[int]] = {}
    for i, j in zip(at[first].tolist(), at[second].tolist(), strict=True):
        if objects.label[i] == objects.label[j] and before[i] != before[j]:
            rivals.setdefault(i, []).append(j)
    for i in sorted(rivals, key=lambda i: (not locked[i], -objects.score[i], i)):
        if not repeated[i]:  # what is better than it has left it, so its rivals are worse
            repeated[[j for j in rivals[i] if not locked[j]]] = True
    return repeated
