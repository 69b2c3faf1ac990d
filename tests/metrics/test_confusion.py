from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autolabel.metrics.confusion import confusion_matrix, pair_boxes
from tests.measuring import objects, true
from tests.metrics.simulated import NAMES, simulate

BOX, AWAY, NEAR = [10, 10, 20, 20], [50, 50, 60, 60], [11, 10, 21, 20]


@pytest.mark.parametrize(
    ("found", "labels", "ignore", "matrix"),
    [
        ([("cat", 0.9, BOX)], [("cat", BOX)], [0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([("dog", 0.9, BOX)], [("cat", BOX)], [0], [[0, 1, 0], [0, 0, 0], [0, 0, 0]]),
        ([("dog", 0.9, AWAY)], [("cat", BOX)], [0], [[0, 0, 1], [0, 0, 0], [0, 1, 0]]),
        ([], [("cat", BOX), ("dog", AWAY)], [0, 0], [[0, 0, 1], [0, 0, 1], [0, 0, 0]]),
        # two on one: the one that fits better counts, whatever its score and class
        (
            [("cat", 0.9, NEAR), ("dog", 0.1, BOX)], [("cat", BOX)], [0],
            [[0, 1, 0], [0, 0, 0], [1, 0, 0]],
        ),
        # of equal fits the same class
        (
            [("dog", 0.9, BOX), ("cat", 0.1, BOX)], [("cat", BOX)], [0],
            [[1, 0, 0], [0, 0, 0], [0, 1, 0]],
        ),
        # on what is to be ignored: neither right nor wrong
        ([("cat", 0.9, BOX)], [("cat", BOX)], [1], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        # in a region that is to be ignored: what counts is the share of the box that lies in it
        ([("cat", 0.9, BOX)], [("cat", [0, 0, 60, 60])], [1], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([("cat", 0.9, BOX)], [("cat", [15, 0, 60, 60])], [1], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ([("cat", 0.9, BOX)], [("cat", [16, 0, 60, 60])], [1], [[0, 0, 0], [0, 0, 0], [1, 0, 0]]),
        # what is to be ignored of a class that is not measured excuses nothing
        ([("cat", 0.9, BOX)], [("owl", BOX)], [1], [[0, 0, 0], [0, 0, 0], [1, 0, 0]]),
        # just the overlap that is asked for is enough
        ([("cat", 0.9, [10, 10, 20, 15])], [("cat", BOX)], [0], [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        # a class that is not measured is not there
        ([("owl", 0.9, BOX)], [("cat", BOX)], [0], [[0, 0, 1], [0, 0, 0], [0, 0, 0]]),
        ([], [], [], [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
    ],
)  # fmt: skip
def test_by_hand(found: Any, labels: Any, ignore: Any, matrix: Any) -> None:
    flags = np.array(ignore, bool)
    got = confusion_matrix([objects(*found)], [true(*labels)], [flags], ("cat", "dog"), 0.5)
    assert got == matrix


@given(st.integers(0, 50), st.floats(0.5, 0.9))
@settings(max_examples=20, deadline=None)
def test_every_box_is_counted_once(seed: int, iou: float) -> None:
    photos, found = simulate(seed, images=4)
    matrix = np.array(confusion_matrix(found, photos.truth, photos.ignore, NAMES, iou))
    for i, name in enumerate(NAMES):
        assert matrix[i].sum() == sum(int((o.label == name).sum()) for o in photos.truth)
        assert matrix[:, i].sum() == sum(int((o.label == name).sum()) for o in found)
    assert matrix[-1, -1] == 0


def test_of_equal_fits_of_one_class_the_higher_score_counts() -> None:
    found = objects(("cat", 0.1, BOX), ("cat", 0.9, BOX), ("cat", 0.5, BOX))
    assert pair_boxes(found, true(("cat", BOX)), 0.5) == [(1, 0)]


def test_each_box_is_in_one_pair() -> None:
    photos, found = simulate(3, images=1)
    pairs = pair_boxes(found[0], photos.truth[0], 0.5)
    assert pairs
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
