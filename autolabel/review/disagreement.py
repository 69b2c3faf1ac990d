"""What speaks against a label: each witness that looked at it, as a doubt with its words.

A weight is roughly how often labels turn out to be wrong of which that witness alone is as doubtful
as can be. They were chosen on half of the sample's photos, and are the same for every data set.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from autolabel.ops.arrays import Floats
from autolabel.ops.pairs import overlapping
from autolabel.review.class_statistics import ClassStatistics, Usual
from autolabel.review.objectlab import BoxScores, box_scores
from autolabel.types import Objects

UNCERTAIN, DISAGREE = "uncertain", "disagree"
"""Kinds of doubt: the detector's own, and that of another witness."""

SCORE, CLIP, DINOV2, PROBE, TWO_CLASSES = 0.8, 0.15, 0.15, 0.15, 0.5
SWAPPED, BADLY_LOCATED, NOT_FOUND, OVERLOOKED, REJECTED = 0.3, 0.1, 0.1, 0.1, 0.1
"""Weights of the witnesses."""

SAME_IOU = 0.5
"""Overlap from which two boxes are of one object."""
_LEAST_WIDTH = 0.2
"""Scores of a class that are nearer to each other than this say little."""
_PLACE_RULES = ("nms_iou", "cross_nms_iou", "inside", "max_per_group", "person")
"""How the reasons begin of objects that were rejected for what is beside them."""


@dataclass(frozen=True)
class Doubt:
    """What one witness has against a label.

    Attributes:
        kind: `UNCERTAIN` or `DISAGREE`.
        weight: 0 for nothing to 1 for certain that the label is wrong.
        words: why, for people.
    """

    kind: str
    weight: float
    words: str


def together(found: Iterable[Doubt]) -> float:
    """Return how likely a label is wrong if each doubt may be right by itself: a noisy or.

    >>> together([Doubt(UNCERTAIN, 0.5, ""), Doubt(DISAGREE, 0.5, "")])
    0.75
    """
    right = 1.0
    for one in found:
        right *= 1 - one.weight
    return 1 - right


class ImageDoubts:
    """The doubts about the objects of one image.

    Args:
        objects: all of them, the rejected ones too.
        statistics: of the whole layer.
        predicted: what a student finds in the image, or None.
        threshold: the score from which the student is sure.
    """

    def __init__(
        self,
        objects: Objects,
        statistics: ClassStatistics,
        predicted: Objects | None = None,
        threshold: float = 0.5,
    ) -> None:
        self.objects, self.statistics = objects, statistics
        self.predicted = Objects.empty() if predicted is None else predicted
        self.threshold = threshold
        self.kept = np.flatnonzero(objects.keep).tolist()
        self._place = {index: at for at, index in enumerate(self.kept)}
        labels = objects.kept
        self._rivals = _rivals(labels)
        self._lab: BoxScores | None = None
        if predicted is not None:
            self._lab = box_scores(labels, predicted, low=threshold / 2, high=threshold)
            self._support = _support(labels, predicted)

    def of_kept(self, index: int) -> list[Doubt]:
        """Return what there is against a kept label, the strongest first."""
        label, scores = str(self.objects.label[index]), self.objects.scores[index]
        usual = self.statistics.scores.get(label)
        found = [
            *_of_score(float(self.objects.score[index]), usual),
            *_of_embeddings(label, scores),
            *_of_rival(self._rivals.get(self._place[index])),
            *self._of_student(self._place[index], label),
        ]
        # NaN, which evidence may be, is not above 0 either.
        return sorted((one for one in found if one.weight > 0), key=lambda one: -one.weight)

    def of_rejected(self, index: int) -> list[Doubt]:
        """Return what there is against a rejection; nothing where another box is the reason."""
        reason = str(self.objects.reason[index] or "")
        usual = self.statistics.scores.get(str(self.objects.label[index]))
        if not reason or reason.startswith(_PLACE_RULES) or usual is None:
            return []
        score = float(self.objects.score[index])
        weight = REJECTED * (1 - _unsure(score, usual))
        return [Doubt(DISAGREE, weight, f"rejected ({reason}), but the detector gives {score:.2f}")]

    def overlooked(self) -> list[tuple[int, Doubt]]:
        """Return what only the student finds: its index in `predicted`, and the doubt."""
        if self._lab is None:
            return []
        scores = self._lab.overlooked
        found = []
        for at in np.flatnonzero(~np.isnan(scores)).tolist():
            words = f"only the student finds one here: {self.predicted.score[at]:.2f}"
            found.append((at, Doubt(DISAGREE, OVERLOOKED * (1 - float(scores[at])), words)))
        return found

    def _of_student(self, at: int, label: str) -> Iterator[Doubt]:
        if self._lab is None:
            return
        swapped, located = float(self._lab.swapped[at]), float(self._lab.badly_located[at])
        if swapped < 1 - SAME_IOU:
            words = f"the student finds another class here, not {label}"
            yield Doubt(DISAGREE, SWAPPED * (1 - swapped), words)
        if self._support[at] < self.threshold / 2:
            yield Doubt(DISAGREE, NOT_FOUND, f"the student does not find it: {label}")
        elif located < SAME_IOU:
            words = f"the student's box is elsewhere: likeness {located:.2f}"
            yield Doubt(DISAGREE, BADLY_LOCATED * (1 - located), words)


def _unsure(score: float, usual: Usual) -> float:
    """Return 0 for a score among the highest of its class to 1 for one among the lowest."""
    width = max(usual.high - usual.low, _LEAST_WIDTH)
    return min(max((usual.high - score) / width, 0.0), 1.0)


def _of_score(score: float, usual: Usual | None) -> Iterator[Doubt]:
    if usual is not None:
        words = f"the detector is unsure: {score:.2f} where {usual.median:.2f} is usual"
        yield Doubt(UNCERTAIN, SCORE * _unsure(score, usual), words)


def _of_embeddings(label: str, scores: Mapping[str, float]) -> Iterator[Doubt]:
    margin, ratio, probe = (scores.get(name) for name in ("clip_margin", "dinov2_ratio", "probe"))
    if margin is not None:
        sees = "sees something else than" if margin < 0 else "is not sure that it is"
        words = f"CLIP {sees} {label}: {scores.get('clip', 0.0):.2f}"
        yield Doubt(DISAGREE, CLIP * (1 - min(max(margin, -1.0), 1.0)) / 2, words)
    if ratio is not None:
        words = f"to DINOv2 it is nearly as like another class: {ratio:.2f} of 1"
        yield Doubt(DISAGREE, DINOV2 * min(max(ratio, 0.0), 1.0), words)
    if probe is not None:
        words = f"the probe on example crops is unsure: {probe:.2f}"
        yield Doubt(DISAGREE, PROBE * (1 - min(max(probe, 0.0), 1.0)), words)


def _of_rival(rival: tuple[str, float] | None) -> Iterator[Doubt]:
    if rival is not None:
        name, iou = rival
        yield Doubt(DISAGREE, TWO_CLASSES * iou, f"a {name} is labelled in the same place")


def _rivals(labels: Objects) -> dict[int, tuple[str, float]]:
    """Return for labels in the place of one of another class that class and the overlap."""
    i, j, iou = overlapping(labels.xyxy, labels.xyxy, SAME_IOU)
    found: dict[int, tuple[str, float]] = {}
    for a, b, value in zip(i.tolist(), j.tolist(), iou.tolist(), strict=True):
        if labels.label[a] != labels.label[b] and value > found.get(a, ("", 0.0))[1]:
            found[a] = str(labels.label[b]), value
    return found


def _support(labels: Objects, predicted: Objects) -> Floats:
    """Return the highest score with which the same class is found in each label's place, (n,)."""
    i, j, _ = overlapping(labels.xyxy, predicted.xyxy, SAME_IOU)
    same = labels.label[i] == predicted.label[j]
    found = np.zeros(len(labels))
    np.maximum.at(found, i[same], predicted.score[j[same]].astype(np.float64))
    return found
