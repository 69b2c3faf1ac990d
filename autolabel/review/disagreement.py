"""What speaks against a label: each witness that was asked of it, as a doubt with its words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from autolabel.review.class_statistics import ClassStatistics, Usual
from autolabel.types import Objects

UNCERTAIN, DISAGREE = "uncertain", "disagree"
"""Kinds of doubt: the detector's own, and that of another model which looked at its label."""


@dataclass(frozen=True)
class Doubt:
    """What one witness has against a label.

    Attributes:
        kind: `UNCERTAIN` or `DISAGREE`.
        weight: 0 for none to 1 for certain that the label is wrong.
        words: why, for people.
    """

    kind: str
    weight: float
    words: str


def doubts(objects: Objects, index: int, statistics: ClassStatistics) -> list[Doubt]:
    """Return what the stored evidence has against one label, the strongest first."""
    label, scores = objects.label[index], objects.scores[index]
    found = [*_of_score(float(objects.score[index]), statistics.usual.get((label, "score")))]
    found += _of_clip(label, scores)
    found += _of_dinov2(scores)
    return sorted(found, key=lambda one: -one.weight)


def together(found: Iterable[Doubt]) -> float:
    """Return how likely a label is wrong if each doubt may be right by itself: a noisy or.

    >>> together([Doubt(UNCERTAIN, 0.5, ""), Doubt(DISAGREE, 0.5, "")])
    0.75
    """
    right = 1.0
    for one in found:
        right *= 1 - one.weight
    return 1 - right


def _of_score(score: float, usual: Usual | None) -> Iterator[Doubt]:
    """Doubt scores by how near they are to the lowest that labels of the class have."""
    if usual is None or usual.high <= usual.low:
        return
    weight = min(max((usual.high - score) / (usual.high - usual.low), 0.0), 1.0)
    yield Doubt(UNCERTAIN, 0.5 * weight, f"the detector is unsure: {score:.2f}")


def _of_clip(label: str, scores: dict[str, float]) -> Iterator[Doubt]:
    margin = scores.get("clip_margin")
    if margin is None:
        return
    other = "sees something else" if margin < 0 else "is unsure"
    yield Doubt(
        DISAGREE, (1 - min(max(margin, -1.0), 1.0)) / 2,
        f"CLIP {other}: {label} {scores.get('clip', 0.0):.2f}",
    )  # fmt: skip


def _of_dinov2(scores: dict[str, float]) -> Iterator[Doubt]:
    ratio = scores.get("dinov2_ratio")
    if ratio is not None:
        weight = min(max(ratio, 0.0), 1.0) / 2
        yield Doubt(DISAGREE, weight, f"DINOv2 finds it as like another class: {ratio:.2f} of 1")
