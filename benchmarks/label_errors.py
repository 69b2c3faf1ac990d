"""What is wrong with labels, against hand labels; `review_queue.py` and `corrections.py` use it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autolabel.ops.pairs import one_to_one, overlapping
from autolabel.types import Objects

SPURIOUS, OVERLOOKED, SWAPPED, BADLY_LOCATED = "spurious", "overlooked", "swapped", "badly located"
KINDS = (SPURIOUS, OVERLOOKED, SWAPPED, BADLY_LOCATED)

FOUND_IOU = 0.5
"""Overlap from which a label is that of an object."""
NEAR_IOU = 0.1
"""Overlap from which it is meant for the object, but badly located."""


@dataclass(frozen=True)
class LabelError:
    """One error: its kind, the label (None if overlooked), the object (None if spurious)."""

    kind: str
    label: int | None
    truth: int | None


def label_errors(labels: Objects, truth: Objects, ignore: np.ndarray) -> list[LabelError]:
    """Return what is wrong with an image's labels, each label and each object in one error at most.

    Args:
        labels: kept ones.
        truth: hand labels.
        ignore: (n,) hand labels which no label has to find, and on which any may lie.
    """
    left, right = set(range(len(labels))), set(range(len(truth)))
    i, j, iou = overlapping(labels.xyxy, truth.xyxy, NEAR_IOU)
    same = labels.label[i] == truth.label[j]
    found: list[LabelError] = []
    for kind, wanted in (
        ("", same & (iou >= FOUND_IOU)),
        (SWAPPED, ~same & (iou >= FOUND_IOU)),
        (BADLY_LOCATED, same),
    ):
        open_ = np.array([a in left and b in right for a, b in zip(i, j, strict=True)], bool)
        at = wanted & open_
        for a, b in one_to_one(i[at], j[at], iou[at]):
            left.discard(a)
            right.discard(b)
            if kind and not ignore[b]:
                found.append(LabelError(kind, a, b))
    on_ignored = set(i[ignore[j] & (iou >= FOUND_IOU)].tolist())
    found += [LabelError(SPURIOUS, a, None) for a in sorted(left - on_ignored)]
    found += [LabelError(OVERLOOKED, None, b) for b in sorted(right) if not ignore[b]]
    return found
