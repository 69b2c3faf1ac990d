"""What is usual in a class: how many labels it has, and which values of evidence they have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from autolabel.types import Record

_MOST = 20_000
"""Values of one kind of evidence that are held of a class."""
_MAD_TO_SIGMA = 1.4826
"""Standard deviation of normally distributed values over their median absolute deviation."""


@dataclass(frozen=True)
class Usual:
    """The values that one kind of evidence has in one class.

    Attributes:
        median: of them.
        spread: their standard deviation, as the median absolute deviation tells it.
        low, high: their 2nd and 98th percentile.
    """

    median: float
    spread: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassStatistics:
    """What is usual in each class of a layer.

    Attributes:
        kept: class -> how many kept labels it has.
        usual: class and name of evidence -> its values among the kept labels; ``score`` is the
            label's own.
    """

    kept: Counter[str]
    usual: dict[tuple[str, str], Usual]

    @classmethod
    def of(cls, records: Iterable[Record]) -> ClassStatistics:
        """Count the kept labels of usable images; of each class and evidence 20,000 values count.

        Those are spread evenly over the records, so that memory is bounded and the same records
        give the same figures.
        """
        kept: Counter[str] = Counter()
        values: dict[tuple[str, str], _Sample] = {}
        for record in records:
            if not record.usable:
                continue
            objects = record.objects.kept
            kept.update(objects.label)
            for label, score, scores in zip(
                objects.label, objects.score.tolist(), objects.scores, strict=True
            ):
                for name, value in {**scores, "score": score}.items():
                    values.setdefault((label, name), _Sample()).add(value)
        return cls(kept, {key: one.usual() for key, one in values.items()})


class _Sample:
    """Every k-th of the values that are added; k doubles whenever there are too many."""

    def __init__(self) -> None:
        self.values: list[float] = []
        self.stride, self.seen = 1, 0

    def add(self, value: float) -> None:
        if self.seen % self.stride == 0 and np.isfinite(value):
            self.values.append(value)
            if len(self.values) > _MOST:
                self.values, self.stride = self.values[::2], self.stride * 2
        self.seen += 1

    def usual(self) -> Usual:
        values = np.asarray(self.values or [0.0])
        median = float(np.median(values))
        spread = _MAD_TO_SIGMA * float(np.median(np.abs(values - median)))
        low, high = np.percentile(values, (2, 98))
        return Usual(median, spread, float(low), float(high))
