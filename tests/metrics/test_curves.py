from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.metrics.curves import best_f1, curve
from autolabel.metrics.figures import match
from autolabel.metrics.matching import counts_per_image
from autolabel.metrics.result import Curve
from tests.measuring import objects, one, true
from tests.metrics.simulated import simulate

BOX, AWAY = [10, 10, 20, 20], [50, 50, 60, 60]


@given(st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_a_curve_ends_where_every_prediction_counts(seed: int) -> None:
    photos, found = simulate(seed, images=120)
    for one_class in match(found, photos, 0.5, 0.0).there:
        points = curve(one_class)
        tp, fp, fn = counts_per_image(one_class).sum(axis=0)
        assert 2 <= len(points.recall) <= 200
        assert points.recall[-1] == pytest.approx(tp / (tp + fn))
        assert points.precision[-1] == pytest.approx(tp / (tp + fp))
        assert points.score[0] == pytest.approx(one_class.score.max())
        assert (np.diff(points.recall) >= 0).all()
        assert (np.diff(points.score) < 0).all()
        assert len(points.precision) == len(points.score) == len(points.recall)


def test_a_curve_without_predictions_or_truth_is_empty() -> None:
    nothing = Curve(recall=[], precision=[], score=[])
    assert one(objects(), true(("cat", BOX))).curves["cat"] == nothing
    assert one(objects(("cat", 0.5, BOX)), true()).curves["cat"] == nothing


@given(st.integers(0, 30))
@settings(max_examples=10, deadline=None)
def test_no_other_threshold_is_better_and_the_best_is_reached(seed: int) -> None:
    photos, found = simulate(seed, images=20)
    there = match(found, photos, 0.5, 0.0).there
    best = best_f1(there)
    assert best is not None

    def f1(threshold: float) -> float:
        tp, fp, fn = sum(counts_per_image(m, threshold).sum(axis=0) for m in there)
        return float(2 * tp / (2 * tp + fp + fn))

    assert f1(best.threshold) == pytest.approx(best.f1)
    assert max(f1(t) for t in np.linspace(0, 1, 101)) <= best.f1 + 1e-12
    p, r = best.precision, best.recall
    assert best.f1 == pytest.approx(2 * p * r / (p + r))


def test_what_lies_on_ignored_labels_is_no_point_of_a_curve() -> None:
    found = objects(("cat", 0.9, AWAY), ("cat", 0.8, BOX))
    row = one(found, true(("cat", BOX), ("cat", AWAY)), ignore=[False, True])
    assert row.curves["cat"].score == pytest.approx([0.8])
    assert row.curves["cat"].precision == [1]
    alone = one(objects(("cat", 0.9, AWAY)), true(("cat", BOX), ("cat", AWAY)), ignore=[0, 1])
    assert alone.curves["cat"].score == []
    assert alone.best_f1 is None


def test_of_equally_good_thresholds_the_highest_is_best() -> None:
    """From 0.9 up one of two is found and nothing false; from 0.5 up both, and two false ones."""
    found = objects(("cat", 0.9, BOX), ("cat", 0.5, AWAY), ("cat", 0.5, [70, 70, 80, 80]),
                    ("cat", 0.5, [80, 0, 90, 9]))  # fmt: skip
    best = one(found, true(("cat", BOX), ("cat", AWAY))).best_f1
    assert best is not None
    assert (best.threshold, best.f1) == (pytest.approx(0.9), pytest.approx(2 / 3))


def test_equal_scores_stand_or_fall_together() -> None:
    found = objects(("cat", 0.5, BOX), ("cat", 0.5, AWAY))
    row = one(found, true(("cat", BOX)))
    assert row.best_f1 is not None
    assert row.best_f1.f1 == pytest.approx(2 / 3)
    assert (row.best_f1.threshold, row.best_f1.precision, row.best_f1.recall) == (0.5, 0.5, 1)
    assert row.curves["cat"] == Curve(recall=[1], precision=[0.5], score=[0.5])


def test_without_truth_or_predictions_there_is_no_best_threshold() -> None:
    assert one(objects(), true(("cat", BOX))).best_f1 is None
    assert one(objects(("cat", 0.5, BOX)), true()).best_f1 is None
