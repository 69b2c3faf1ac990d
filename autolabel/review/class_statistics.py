"""What is usual in a class: how many labels it has, and which scores they have."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite

import numpy as np

from autolabel.types import Record

_MOST = 20_000
"""Scores that are held of a class."""


@dataclass(frozen=True)
class Usual:
    """The scores of one class: their median, and their 2nd and 98th percentile."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassStatistics:
    """What is usual in each class of a layer.

    Attributes:
        kept: class -> how many kept labels it has.
        scores: class -> the scores of its kept labels.
    """

    kept: Counter[str]
    scores: dict[str, Usual]

    @classmethod
    def of(cls, records: Iterable[Record]) -> ClassStatistics:
        """Count the kept labels of usable images; of each class some 20,000 scores count.

        Those are spread evenly over the records, so that memory is bounded and the same records
        give the same figures.
        """
        kept: Counter[str] = Counter()
        samples: dict[str, _Sample] = defaultdict(_Sample)
        for record in records:
            if record.usable:
                objects = record.objects
                labels = objects.label[objects.keep].tolist()
                kept.update(labels)
                for label, score in zip(labels, objects.score[objects.keep].tolist(), strict=True):
                    samples[label].add(score)
        return cls(kept, {label: one.usual() for label, one in samples.items()})


class _Sample:
    """Every k-th of the scores that are added; k doubles whenever there are too many."""

    def __init__(self) -> None:
        self.scores: list[float] = []
        self.stride, self.seen = 1, 0

    def add(self, score: float) -> None:
        if self.seen % self.stride == 0:
            self.scores.append(score)
            if len(self.scores) > _MOST:
                self.scores, self.stride = self.scores[::2], self.stride * 2
        self.seen += 1

    def usual(self) -> Usual:
        known = [score for score in self.scores if isfinite(score)]
        low, median, high = np.percentile(known or [0.0], (2, 50, 98)).tolist()
        return Usual(median, low, high)
