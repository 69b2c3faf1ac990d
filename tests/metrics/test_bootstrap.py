from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.metrics.average_precision import average_precision
from autolabel.metrics.bootstrap import difference, draw, interval, share
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.figures import Matches, figures_of
from autolabel.metrics.matching import counts_per_image, match_boxes
from autolabel.metrics.measure import differences, measure, shares
from autolabel.metrics.result import Estimate
from autolabel.types import Objects
from tests.metrics.simulated import NAMES, simulate

COVERED = ("ap50", "precision", "recall", "f1")


def figures(photos: EvaluationSet, found: list[Objects], weights: Any) -> dict[str, Any]:
    """AP50 and the figures at the operating point, in each sample of images."""
    there = match_boxes(found, photos.truth, photos.ignore, NAMES, 0.5, 100)
    counts = np.array([counts_per_image(one, 0.3) for one in there])
    aps = [average_precision(one, weights)[:, 0] for one in there]
    sampled = figures_of(Matches({}, there, counts), weights)
    return {**sampled, "ap50": np.mean(aps, axis=0)}


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    """200 data sets of one detector, 200 samples each; the truth is that of very many images."""
    every = figures(*simulate(999, images=4000), np.ones((1, 4000), int))
    hits = dict.fromkeys(COVERED, 0)
    for seed in range(200):
        samples = figures(*simulate(seed, images=50), draw(50, 200, seed))
        for name in COVERED:
            low, high = interval(samples[name]) or (1.0, 0.0)
            hits[name] += low <= every[name][0] <= high
    for name, count in hits.items():
        assert 0.90 <= count / 200 <= 0.98, (name, count)


def test_a_paired_interval_is_tighter_where_two_go_together() -> None:
    photos, found = simulate(1, images=60)
    weights = draw(60, 400, seed=0)

    def measured(objects: list[Objects], seed: int = 0) -> Any:
        drawn = weights if seed == 0 else draw(60, 400, seed)
        return measure(objects, photos, score_threshold=0.0, iou=0.5, weights=drawn)

    fewer = [objects[np.arange(len(objects)) % 9 != 0] for objects in found]
    whole, part, apart = measured(found), measured(fewer), measured(fewer, seed=1)
    for name in ("ap50", "recall", "f1"):
        paired = differences(part, whole, [name])[name]
        unpaired = differences(apart, whole, [name])[name]
        assert paired.value == unpaired.value == pytest.approx(
            getattr(part.figures, name) - getattr(whole.figures, name)
        )  # fmt: skip
        widths = [high - low for low, high in (paired.interval, unpaired.interval)]
        assert widths[0] < 0.6 * widths[1]
        assert paired.interval[0] <= paired.value <= paired.interval[1]


def test_nothing_differs_from_itself() -> None:
    photos, found = simulate(2, images=20)
    measured = measure(found, photos, score_threshold=0.0, iou=0.5, weights=draw(20, 50, seed=0))
    for figure in differences(measured, measured).values():
        assert figure == Estimate(value=0, interval=(0, 0))
    for figure in shares(measured, measured, ["ap50", "f1"]).values():
        assert figure == Estimate(value=1, interval=(1, 1))


def test_what_is_not_defined_has_no_difference_and_no_share() -> None:
    nan = np.array([np.nan])
    assert difference(None, 0.5, nan, np.array([0.5])) is None
    assert share(0.5, None, np.array([0.5]), nan) is None
    assert share(0.5, 0.0, np.array([0.5]), np.zeros(1)) is None
    assert interval(nan) is None
    zeros = share(0.4, 0.5, np.array([0.4, 0.4]), np.array([0.5, 0.0]))
    assert zeros is not None
    assert (zeros.value, zeros.interval) == (pytest.approx(0.8), pytest.approx((0.8, 0.8)))


@given(st.integers(1, 40), st.integers(0, 30), st.integers(0, 5))
def test_every_sample_has_as_many_images(images: int, samples: int, seed: int) -> None:
    weights = draw(images, samples, seed)
    assert weights.shape == (samples, images)
    assert (weights >= 0).all()
    assert (weights.sum(axis=1) == images).all()


def test_an_image_that_is_drawn_twice_counts_twice() -> None:
    photos, found = simulate(4, images=3)
    there = match_boxes(found, photos.truth, photos.ignore, NAMES, 0.5, 100)
    counts = np.array([counts_per_image(one, 0.3) for one in there])
    drawn = figures_of(Matches({}, there, counts), np.array([[3, 0, 1]]))
    tp, fp, fn = 3 * counts[:, 0].sum(axis=0) + counts[:, 2].sum(axis=0)
    assert drawn["precision"][0] == pytest.approx(tp / (tp + fp))
    assert drawn["recall"][0] == pytest.approx(tp / (tp + fn))


def test_an_interval_is_the_middle_95_percent() -> None:
    assert interval(np.arange(101.0)) == pytest.approx((2.5, 97.5))
