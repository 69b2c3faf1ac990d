"""What is usual in a class, from a bounded sample of it."""

from __future__ import annotations

import numpy as np
import pytest

from autolabel.review import class_statistics
from autolabel.review.class_statistics import ClassStatistics
from autolabel.types import LEAK, Objects, Record
from tests.review.labelled import one, several


def record(objects: Objects, **fields: str) -> Record:
    return Record("id", "a.png", 96, 64, objects=objects, **fields)


def test_kept_labels_of_usable_images_count() -> None:
    rejected = one("cat", 0.1, keep=False, reason="min_score: 0.1 < 0.2")
    rows = [
        record(several(one("cat", 0.5), one("cat", 0.9), one("dog", 0.7), rejected)),
        record(one("owl", 0.3), split=LEAK),
        record(one("owl", 0.3), error="not an image"),
    ]
    found = ClassStatistics.of(rows)
    assert dict(found.kept) == {"cat": 2, "dog": 1}
    assert found.scores["cat"].median == pytest.approx(0.7)
    assert found.scores.keys() == {"cat", "dog"}


def test_a_sample_of_the_scores_is_spread_over_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_statistics, "_MOST", 50)
    scores = np.linspace(0, 1, 5001)  # in order, so that the first ones alone would be far off
    rows = [
        record(Objects.create(["cat"] * len(part), part, np.zeros((len(part), 4))))
        for part in np.split(scores[:5000], 100)
    ]
    found = ClassStatistics.of(rows)
    assert found.kept["cat"] == 5000
    usual = found.scores["cat"]
    assert (usual.low, usual.median, usual.high) == pytest.approx((0.02, 0.5, 0.98), abs=0.04)
