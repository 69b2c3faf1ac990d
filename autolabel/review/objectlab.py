"""ObjectLab: which labels a detector's predictions speak against, and which objects lack a label.

Tkachenko, Thyagarajan and Mueller, "ObjectLab: Automated Diagnosis of Mislabeled Images in Object
Detection Data", arXiv 2309.00832; the reference implementation is `cleanlab.object_detection.rank`,
with which the scores agree. Each score is from 0 for an error to 1 for none.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autolabel.ops.arrays import Bools, Floats
from autolabel.ops.boxes import box_areas
from autolabel.ops.pairs import overlapping
from autolabel.types import Objects

ALPHA = 0.9
"""What the overlap counts in a similarity; nearness counts the rest."""
NEARNESS_PER_PX = 0.1
"""How fast nearness falls off with the distance of the centres."""
LOW, HIGH = 0.5, 0.95
"""Probabilities above which a prediction may say that a label is badly located, and from which it
may say that one is swapped or overlooked."""
TEMPERATURE = 0.1
"""Of the softmin that puts the scores of an image together; less is nearer to the lowest score."""
SAME_BOX_IOU = 0.95
"""Overlap from which two labels are one box."""

_NOTHING = 1e-100
_EPSILON = 1e-6  # square pixels


@dataclass(frozen=True)
class BoxScores:
    """The three scores of one image.

    Attributes:
        overlooked: (p,) of each prediction; NaN where it is not sure enough or overlaps a label.
        badly_located: (n,) of each label.
        swapped: (n,) of each label.
    """

    overlooked: Floats
    badly_located: Floats
    swapped: Floats


def box_scores(
    labels: Objects, predicted: Objects, *, low: float = LOW, high: float = HIGH
) -> BoxScores:
    """Score the labels of one image, and what they may lack, by a detector's predictions.

    Args:
        labels: n labels.
        predicted: p predictions; at best of a detector that did not learn from these labels.
        low, high: see `LOW` and `HIGH`.
    """
    iou = _iou(labels, predicted)
    similarity = ALPHA * iou + (1 - ALPHA) * _nearness(labels, predicted)
    above_zero = similarity[similarity > 0]
    least = float(above_zero.min()) if above_zero.size else 1.0
    same = labels.label[:, None] == predicted.label[None, :]
    score = predicted.score.astype(np.float64)
    overlooked = np.where(
        same.any(axis=0), _highest(np.where(same, similarity, -1.0), 0), least * (1 - score)
    )
    overlooked[(score < high) | (iou > 0).any(axis=0)] = np.nan
    witness = same & (score > low) & (iou > 0)
    located = _highest(np.where(witness, similarity, -1.0), 1)
    other = ~same & (score > high)
    swapped = np.maximum(1 - _highest(np.where(other, similarity, -1.0), 1), least)
    swapped = np.where(other.any(axis=1), swapped, 1.0)
    swapped[_has_two_classes(labels)] = least
    return BoxScores(overlooked, np.where(witness.any(axis=1), located, 1.0), swapped)


def image_score(scores: BoxScores) -> float:
    """Return how well an image is labelled: the geometric mean of the three scores' softmins.

    >>> nothing = np.ones(0)
    >>> image_score(BoxScores(nothing, nothing, nothing))
    1.0
    """
    three = (scores.overlooked, scores.badly_located, scores.swapped)
    return float(np.exp(np.mean([np.log(_NOTHING + _softmin(one)) for one in three])))


def _softmin(scores: Floats) -> float:
    known = scores[~np.isnan(scores)]
    if not len(known):
        return 1.0
    weights = np.exp((known.min() - known) / TEMPERATURE)
    return float(weights @ known / weights.sum())


def _highest(values: Floats, axis: int) -> Floats:
    found: Floats = values.max(axis=axis, initial=-1.0)
    return found


def _iou(labels: Objects, predicted: Objects) -> Floats:
    a, b = labels.xyxy.astype(np.float64), predicted.xyxy.astype(np.float64)
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(axis=2)
    union = box_areas(a)[:, None] + box_areas(b)[None, :] - shared
    iou: Floats = shared / np.maximum(union, _EPSILON)
    return iou


def _nearness(labels: Objects, predicted: Objects) -> Floats:
    a, b = (one.xyxy.astype(np.float64) for one in (labels, predicted))
    centres = (a[:, None, :2] + a[:, None, 2:] - b[None, :, :2] - b[None, :, 2:]) / 2
    nearness: Floats = np.exp(-NEARNESS_PER_PX * np.linalg.norm(centres, axis=2))
    return nearness


def _has_two_classes(labels: Objects) -> Bools:
    """Tell which labels have the box of another label of another class."""
    i, j, _ = overlapping(labels.xyxy, labels.xyxy, SAME_BOX_IOU)
    found = np.zeros(len(labels), bool)
    found[i[labels.label[i] != labels.label[j]]] = True
    return found
