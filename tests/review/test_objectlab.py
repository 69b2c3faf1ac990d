"""ObjectLab's scores against those of its authors' package."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from autolabel.review.objectlab import box_scores, image_score
from autolabel.types import Objects

rank = pytest.importorskip("cleanlab.object_detection.rank")

NAMES = ("cat", "dog", "owl")
sides = st.integers(0, 90)
box = st.tuples(sides, sides, st.integers(1, 60), st.integers(1, 60))
labels = st.lists(st.tuples(st.sampled_from(NAMES), box), max_size=6)
sure = st.sampled_from([0.25, 0.5, 0.51, 0.75, 0.76, 0.94, 0.96, 1.0])  # exact in float32, or far
predictions = st.lists(st.tuples(st.sampled_from(NAMES), box, sure), max_size=6)


def objects(rows: list, scores: list[float]) -> Objects:
    boxes = np.array([[x, y, x + w, y + h] for _, (x, y, w, h), *_ in rows], float).reshape(-1, 4)
    return Objects.create([row[0] for row in rows], scores, boxes)


def cleanlab_inputs(labelled: Objects, predicted: Objects) -> dict:
    ids = {name: i for i, name in enumerate(NAMES)}
    return {
        "labels": [
            {
                "bboxes": labelled.xyxy.astype(float),
                "labels": np.array([ids[name] for name in labelled.label], int),
            }
        ],
        "predictions": [_by_class(predicted)],
    }


def _by_class(predicted: Objects) -> np.ndarray:
    rows = np.empty(len(NAMES), dtype=object)
    for i, name in enumerate(NAMES):
        mine = predicted[predicted.label == name]
        rows[i] = np.concatenate([mine.xyxy, mine.score[:, None]], axis=1).astype(float)
    return rows


def in_class_order(predicted: Objects) -> np.ndarray:
    return np.concatenate([np.flatnonzero(predicted.label == name) for name in NAMES]).astype(int)


@example([("cat", (0, 0, 60, 60)), ("dog", (0, 0, 60, 56))], [("cat", (0, 0, 60, 60), 1.0)])
@example([("cat", (0, 0, 60, 60)), ("dog", (0, 0, 60, 58))], [("cat", (0, 0, 60, 60), 1.0)])
@given(labels, predictions)
def test_scores_are_those_of_cleanlab(labelled: list, predicted: list) -> None:
    ours = objects(labelled, [1.0] * len(labelled))
    found = objects(predicted, [row[2] for row in predicted])
    given_, order = cleanlab_inputs(ours, found), in_class_order(found)
    scores = box_scores(ours, found, low=0.5, high=0.75)
    high = {"high_probability_threshold": 0.75}
    for mine, theirs in (
        (scores.overlooked[order], rank.compute_overlooked_box_scores(**given_, **high)),
        (scores.badly_located, rank.compute_badloc_box_scores(**given_)),
        (scores.swapped, rank.compute_swap_box_scores(**given_, **high)),
    ):
        np.testing.assert_allclose(mine, theirs[0], atol=1e-9)


@given(labels.filter(len), predictions)
def test_the_score_of_an_image_is_that_of_cleanlab(labelled: list, predicted: list) -> None:
    ours = objects(labelled, [1.0] * len(labelled))
    found = objects(predicted, [row[2] for row in predicted])
    whole = rank.get_label_quality_scores(**cleanlab_inputs(ours, found), verbose=False)[0]
    assert image_score(box_scores(ours, found)) == pytest.approx(whole, abs=1e-9)
