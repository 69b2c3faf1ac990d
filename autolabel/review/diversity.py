"""A choice without repeats: what looks like something chosen already waits."""

from __future__ import annotations

import numpy as np

from autolabel.ops.arrays import Floats, Vectors

_FAR = 0.5
"""Share of the usual distance from which two things are not alike."""
_EQUAL = 1e-5
"""Cosine distance below which two vectors are of the same thing."""


def diverse(worth: Floats, vectors: Vectors, most: int) -> list[int]:
    """Choose greedily, each time what has the highest worth times newness.

    Newness is the distance to the nearest chosen one, over half the distance that is usual between
    nearest neighbours here, and 1 at most. So alike things lose worth and others keep it, whether
    the data set is of one scene or of many; k-center (Sener and Savarese, arXiv 1708.00489) is the
    same greedy walk without worth.

    Args:
        worth: (n,), 0 or more.
        vectors: (n, d) of length one, or zeros for what is like nothing else.
        most: how many to choose.

    Returns:
        Indices in the order of choice; of equals the first.

    >>> diverse(np.array([1.0, 0.9, 0.5]), np.eye(3, dtype=np.float32)[[0, 0, 1]], 3)
    [0, 2, 1]
    """
    far = _FAR * _usual_distance(vectors)
    newness = np.ones(len(worth))
    left = np.ones(len(worth), bool)
    chosen: list[int] = []
    while len(chosen) < min(most, len(worth)):
        best = int(np.argmax(np.where(left, worth * newness, -1.0)))
        chosen.append(best)
        left[best] = False
        if far > 0:
            distance = 1 - vectors @ vectors[best]
            newness = np.minimum(newness, np.clip(distance / far, 0, 1))
    return chosen


def _usual_distance(vectors: Vectors) -> float:
    """Return the median distance to the nearest other one that differs; 0 where there is none."""
    distances = 1 - vectors @ vectors.T
    distances[distances < _EQUAL] = np.inf
    nearest = distances.min(axis=1, initial=np.inf)
    nearest = nearest[np.isfinite(nearest)]
    return float(np.median(nearest)) if len(nearest) else 0.0
