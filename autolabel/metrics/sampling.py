"""What a random sample that people judged tells of the whole, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from autolabel.metrics.bootstrap import interval
from autolabel.metrics.result import Interval
from autolabel.ops.arrays import Floats

_TAIL = 0.025
_DRAWS = 20_000


def share_interval(right: int, drawn: int, population: int) -> Interval:
    """Return the exact 95 % interval of a share, of which a simple random sample is known.

    Clopper and Pearson's (1934) for a sample without replacement: the shares for which a result as
    far off as this one is not rarer than 2.5 %, by the hypergeometric distribution. It covers the
    truth in 95 % of samples or more, whatever that is, and is the share itself once all is known.

    Args:
        right: how many of those that were drawn are right.
        drawn: the size of the sample.
        population: how many there are in all.

    Examples:
        >>> share_interval(3, 4, 4)
        (0.75, 0.75)
        >>> [round(end, 3) for end in share_interval(10, 10, 10**9)]  # as without an end
        [0.692, 1.0]

    Raises:
        ValueError: the numbers do not fit each other.
    """
    from scipy.stats import hypergeom

    if not 0 <= right <= drawn <= population:
        raise ValueError(f"{right} of {drawn} of {population} cannot be")
    if not drawn:
        return None
    least, most = right, population - (drawn - right)

    def more_is_rare(true: int) -> bool:
        return bool(hypergeom.sf(right - 1, population, true, drawn) < _TAIL)

    def less_is_rare(true: int) -> bool:
        return bool(hypergeom.cdf(right, population, true, drawn) < _TAIL)

    low = _first(least, most, lambda true: not more_is_rare(true))
    high = _first(low, most + 1, lambda true: true > most or less_is_rare(true)) - 1
    return low / population, max(low, high) / population


def _first(low: int, high: int, holds: Callable[[int], bool]) -> int:
    """Return the first number in [low, high] for which a monotone condition holds, else high."""
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low


def recall_estimate(
    right: int, misplaced: int, wrong: int, labels: int, missing: Sequence[int], images: int
) -> tuple[float | None, Interval]:
    """Return the share of true objects that have a right label, estimated, and its interval.

    There are as many right labels as the sample of labels says; true objects without one are those
    of misplaced labels and those that people missed on a sample of images. The interval is the
    middle 95 % of what both samples allow: shares of a Dirichlet distribution (Jeffreys' prior),
    missing objects per image of a gamma distribution that is as wide as the counts vary, at least
    as Poisson's (quasi-likelihood), so that none missed on a few images does not mean none at all.

    Args:
        right, misplaced, wrong: labels of the sample whose class and box are right; that stand on
            an object, with another class or box; and the rest.
        labels: how many labels there are.
        missing: objects without any label, counted on each image of the sample.
        images: how many images there are.

    Examples:
        >>> point, (low, high) = recall_estimate(90, 5, 5, 1000, [1, 0, 0, 1] * 5, 100)
        >>> round(point, 2), low < point < high
        (0.9, True)
    """
    judged = right + misplaced + wrong
    if not judged or not len(missing):
        return None, None
    counts = np.asarray(missing, np.float64)
    objects = labels * (right + misplaced) / judged + images * float(counts.mean())
    point = labels * right / judged / objects if objects else None
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([right + 0.5, misplaced + 0.5, wrong + 0.5], _DRAWS)
    mean, spread = (counts.sum() + 0.5) / len(counts), 1.0
    if len(counts) > 1 and counts.any():
        spread = max(1.0, float(counts.var(ddof=1) / counts.mean()))
    rates: Floats = rng.gamma(mean * len(counts) / spread, spread / len(counts), _DRAWS)
    found = labels * shares[:, 0]
    return point, interval(found / (found + labels * shares[:, 1] + images * rates))
