"""Whether hand labels are in truth the very labels that they are to measure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.types import Objects

PIXELS = 0.02
"""By which the corners of equal boxes may differ; formats round them."""

SCORES = 1e-3
ENOUGH = 20
"""Boxes that nobody draws just as a machine did; with the machine's scores too, or corners between
the pixels, `FEW` will do."""
FEW = 3


def are_the_same(found: Sequence[Objects], against: EvaluationSet) -> bool:
    """Say whether the hand labels of every photo are what was found in it, box by box.

    Args:
        found: the objects in each of the photos.
        against: the photos, with their hand labels.
    """
    pairs = [
        (_in_order(objects[np.isin(objects.label.astype(str), against.classes)]), _in_order(truth))
        for objects, truth in zip(found, against.truth, strict=True)
    ]
    if not any(map(len, against.truth)) or not all(_are_equal(*pair) for pair in pairs):
        return False
    ours, theirs = (np.concatenate([pair[i].score for pair in pairs]) for i in (0, 1))
    scored = bool((theirs < 1).any()) and bool(np.allclose(ours, theirs, atol=SCORES))
    corners = np.concatenate([pair[1].xyxy for pair in pairs])
    between = bool((np.abs(corners - np.round(corners)) > 2 * PIXELS).mean() > 0.5)
    return len(theirs) >= (FEW if scored or between else ENOUGH)


def _in_order(objects: Objects) -> Objects:
    """By class and place, whatever the order that they are stored in."""
    labels = objects.label.astype(str)
    return objects[np.lexsort((*np.round(objects.xyxy.T.astype(float), 1), labels))]


def _are_equal(ours: Objects, theirs: Objects) -> bool:
    return (
        len(ours) == len(theirs)
        and ours.label.tolist() == theirs.label.tolist()
        and bool((np.abs(ours.xyxy - theirs.xyxy) <= PIXELS).all())
    )
