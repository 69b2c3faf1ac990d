"""What a sample tells: against SciPy, and by many samples of wholes that are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, hypergeom

from autolabel.metrics.sampling import recall_estimate, share_interval


@pytest.mark.parametrize(("right", "drawn"), [(0, 20), (20, 20), (17, 20), (190, 200), (1, 1)])
def test_of_a_large_whole_it_is_clopper_and_pearsons(right: int, drawn: int) -> None:
    found = share_interval(right, drawn, 10**8)
    exact = binomtest(right, drawn).proportion_ci(method="exact")
    assert found == pytest.approx((exact.low, exact.high), abs=1e-4)


@pytest.mark.parametrize(("population", "drawn"), [(30, 10), (200, 60), (1000, 100)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9, 0.97, 1.0])
def test_it_covers_the_truth_in_95_of_100_samples(
    population: int, drawn: int, share: float
) -> None:
    """Exactly, summed over every sample that can come."""
    true = round(share * population)
    covered = 0.0
    for right in range(max(0, drawn - population + true), min(drawn, true) + 1):
        low, high = share_interval(right, drawn, population) or (1.0, 0.0)
        if low <= true / population <= high:
            covered += float(hypergeom.pmf(right, population, true, drawn))
    assert covered >= 0.95


def test_it_narrows_to_the_share_as_the_whole_is_seen() -> None:
    def width(drawn: int) -> float:
        low, high = share_interval(drawn * 9 // 10, drawn, 100) or (0.0, 1.0)
        return high - low

    assert width(10) > width(50) > width(90) > width(100) == 0
    assert share_interval(0, 0, 10) is None
    with pytest.raises(ValueError, match="3 of 2 of 5 cannot be"):
        share_interval(3, 2, 5)


def test_recall_covers_the_truth_when_what_is_missed_comes_in_heaps() -> None:
    """In at least 90 of 100 simulated audits."""
    rng = np.random.default_rng(0)
    images, covered = 400, 0
    for _ in range(100):
        missed = rng.negative_binomial(0.5, 0.4, images)  # many in a few images
        labels, right, misplaced = 3000, 2700, 100
        truth = right / (right + misplaced + missed.sum())
        kinds = rng.permutation([0] * right + [1] * misplaced + [2] * (labels - right - misplaced))
        sample = np.bincount(kinds[:200], minlength=3).tolist()
        seen = rng.choice(missed, 50, replace=False).tolist()
        point, interval = recall_estimate(*sample, labels, seen, images)
        assert point is not None
        assert interval is not None
        covered += interval[0] <= truth <= interval[1]
    assert covered >= 90


def test_none_missed_on_a_few_images_does_not_mean_none_at_all() -> None:
    point, interval = recall_estimate(50, 0, 0, 100, [0] * 5, 1000)
    assert point == 1
    assert interval is not None
    assert interval[0] < 0.7
    assert recall_estimate(0, 0, 0, 100, [0], 10) == (None, None)
    assert recall_estimate(5, 0, 0, 100, [], 10) == (None, None)
    assert recall_estimate(0, 0, 5, 100, [0], 10)[0] is None
