"""People's objects laid over a machine's: what people left is there as they left it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autolabel.ops.pairs import one_to_one, overlapping
from autolabel.types import Objects

REPEATS_IOU = 0.5
"""Overlap from which a machine's box of the same class is the object that a person judged."""
SAME_PLACE_IOU = 0.8
"""Overlap with a person's object from which a machine's box of any class is in its place."""
REPEATED = "person: labelled already"
"""Reason of a machine's object in the place of one that a person labelled."""


def overlay(machine: Objects, people: Objects) -> Objects:
    """Return a machine's objects with people's over them.

    Each object of people stands for the one kept box of the machine that it overlaps most, of its
    class and by `REPEATS_IOU` or more, so that a neighbour of what was judged stays. What people
    left takes the place of that box, or comes last where there is none; where people took an
    object away, the box is rejected with their reason. Then every other kept box that lies in the
    place of what people left is rejected.

    Args:
        machine: what stages found; locked objects among them are left out, as `people` has them.
        people: as `autolabel.corrections.fold` returns them.
    """
    machine = machine[~machine.locked]
    kept = np.flatnonzero(machine.keep)
    at, by, iou = overlapping(machine.xyxy[kept], people.xyxy, REPEATS_IOU)
    same = machine.label[kept][at] == people.label[by]
    stands_for = dict(one_to_one(kept[at[same]], by[same], iou[same]))
    keep, reason = machine.keep.copy(), machine.reason.copy()
    for i, j in stands_for.items():
        keep[i], reason[i] = False, people.reason[j]
    near = kept[at[(iou >= SAME_PLACE_IOU) & people.keep[by]]]
    for i in set(near.tolist()) - stands_for.keys():
        keep[i], reason[i] = False, REPEATED
    judged = replace(machine, keep=keep, reason=reason)
    places = {i: j for i, j in stands_for.items() if people.keep[j]}
    rest = sorted(set(np.flatnonzero(people.keep).tolist()) - set(places.values()))
    order = [(people, places[i]) if i in places else (judged, i) for i in range(len(judged))]
    return _joined([*order, *((people, j) for j in rest)])


def _joined(rows: list[tuple[Objects, int]]) -> Objects:
    if not rows:
        return Objects.empty()
    columns = {
        name: [getattr(objects, name)[i] for objects, i in rows]
        for name in Objects.__dataclass_fields__
    }
    return Objects.create(**columns)
