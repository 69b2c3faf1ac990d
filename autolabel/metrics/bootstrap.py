"""How sure figures are: intervals of a bootstrap over images (Efron 1979, percentile intervals).

A sample draws as many images as there are, with replacement. Things that are measured on the same
images share the samples, so that what they have in common cancels out in their difference. A sample
is a number of times that each image counts, so that nothing is matched anew for it; libraries'
bootstraps (SciPy's) resample arrays instead, and would.
"""

from __future__ import annotations

import numpy as np

from autolabel.metrics.result import Estimate, Interval
from autolabel.ops.arrays import Floats, Ints

_PERCENTILES = (2.5, 97.5)


def draw(images: int, samples: int, seed: int) -> Ints:
    """Draw how often each image is in each sample, (samples, images); each row sums to images.

    >>> draw(4, 2, seed=0).sum(axis=1).tolist()
    [4, 4]
    """
    drawn = np.random.default_rng(seed).integers(0, max(images, 1), (samples, images))
    drawn += np.arange(samples)[:, None] * images
    return np.bincount(drawn.ravel(), minlength=samples * images).reshape(samples, images)


def interval(values: Floats) -> Interval:
    """Return the middle 95 % of the samples in which a figure is defined; None if it is in none."""
    defined = values[np.isfinite(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, _PERCENTILES)
    return float(low), float(high)


def difference(
    of: float | None, minus: float | None, of_samples: Floats, minus_samples: Floats
) -> Estimate | None:
    """Return `of - minus` with the paired interval; None where one of them is not defined.

    Args:
        of, minus: the two figures.
        of_samples, minus_samples: (samples,) the same figures in the same samples of images; NaN
            where they are not defined.
    """
    if of is None or minus is None:
        return None
    return Estimate(value=of - minus, interval=interval(of_samples - minus_samples))


def share(
    of: float | None, whole: float | None, of_samples: Floats, whole_samples: Floats
) -> Estimate | None:
    """Return `of / whole` with the paired interval, as `difference`; None if not defined."""
    if of is None or not whole:
        return None
    ratio = np.full(of_samples.shape, np.nan)
    np.divide(of_samples, whole_samples, out=ratio, where=whole_samples > 0)
    return Estimate(value=of / whole, interval=interval(ratio))
