"""Average precision for weighted images.

A bootstrap sample is a number of times that each image is drawn. pycocotools would accumulate the
repeated images anew for each sample; here the samples share one sort and are summed up together,
and the result is the same to the last digit but rounding. That is why this is our own.
"""

from __future__ import annotations

import numpy as np

from autolabel.metrics.matching import Matched
from autolabel.ops.arrays import Bools, Floats, Ints

_RECALLS = np.linspace(0, 1, 101)
_AT_ONCE = 4_000_000  # numbers in an intermediate array


def average_precision(matched: Matched, weights: Ints) -> Floats:
    """101-point average precision of one class, for each sample and IoU threshold.

    Args:
        matched: the class.
        weights: (samples, n) how often each image counts.

    Returns:
        (samples, t); NaN where a sample has no hand-labelled object of the class.
    """
    thresholds, count = matched.hit.shape
    step = max(1, _AT_ONCE // max(1, count))
    parts = [_precision(matched, weights[i : i + step]) for i in range(0, len(weights), step)]
    return np.concatenate(parts) if parts else np.zeros((0, thresholds))


def _precision(matched: Matched, weights: Ints) -> Floats:
    positives = weights @ matched.positives
    times = weights[:, matched.image].astype(float)  # (samples, d)
    result = np.full((len(weights), len(matched.hit)), np.nan)
    for t, (hit, miss) in enumerate(zip(matched.hit, matched.miss, strict=True)):
        best, recall = _envelope(times, hit, miss, positives)
        for sample in np.flatnonzero(positives):
            at = np.searchsorted(recall[sample], _RECALLS, side="left")
            result[sample, t] = best[sample, at].mean()
    return result


def _envelope(times: Floats, hit: Bools, miss: Bools, positives: Ints) -> tuple[Floats, Floats]:
    """Return the best precision from each recall up, and the recalls, (samples, hits).

    Precision is highest right after a hit, so that nothing else is looked at.
    """
    at = np.flatnonzero(hit)
    if not len(at):
        return np.zeros((len(times), 1)), np.zeros((len(times), 0))
    hits = np.cumsum(times[:, at], axis=1)
    starts = np.concatenate([[0], at[:-1] + 1])
    misses = np.add.reduceat(times[:, : at[-1] + 1] * miss[: at[-1] + 1], starts, axis=1)
    precision = hits / (hits + np.cumsum(misses, axis=1) + np.spacing(1))
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(times), 1))], axis=1)  # recalls not reached
    return best, hits / np.maximum(positives, 1)[:, None]
