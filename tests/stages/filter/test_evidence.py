from __future__ import annotations

import numpy as np
import pytest

from autolabel.config import FilterConfig
from autolabel.models.base import Scoring
from autolabel.stages.filter import Filter
from autolabel.stages.filter.evidence import class_probabilities, join_vectors
from autolabel.stages.filter.texts import TextVectors
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Record
from tests.stages.filter.made import AXES, TEXTS, labels, record, unit


def test_probabilities_and_the_reasons_that_come_of_them() -> None:
    crops = AXES[[0, 1, 2, 3]]
    found = class_probabilities(labels("cat", "cat", "cat", "cat"), crops, None, TEXTS)
    assert found.other.tolist()[1:] == ["dog", "toy", "background"]
    np.testing.assert_allclose(found.own[0], 1, atol=1e-3)
    assert found.margin[0] > 0.99
    assert (found.margin[1:] < -0.99).all()
    (result,) = Filter(FilterConfig(clip="x", clip_class=True), TEXTS)(
        [record(labels("cat", "cat", "cat", "cat"), clip_crops=crops)]
    )
    assert result.objects.reason.tolist() == [
        None,
        "clip_class: dog 1.00 > 0.00",
        "clip_class: toy 1.00 > 0.00",
        "clip_class: background 1.00 > 0.00",
    ]
    assert result.objects.scores[0]["clip"] == pytest.approx(found.own[0])
    assert result.objects.scores[1]["clip_margin"] == pytest.approx(found.margin[1])
    assert result.vectors is None


def test_margin_score_and_whole_image() -> None:
    crops = unit([[1, 0.9, 0, 0]])
    stage = Filter(FilterConfig(clip="x", clip_margin=0.9), TEXTS)
    (result,) = stage([record(labels("cat"), clip_crops=crops)])
    (reason,) = result.objects.reason
    assert reason.startswith("clip_margin: 0.")
    assert reason.endswith("< 0.9")
    stage = Filter(FilterConfig(clip="x", clip_score=0.9), TEXTS)
    (result,) = stage([record(labels("cat"), clip_crops=crops)])
    assert result.objects.reason[0].startswith("clip_score: 0.")
    stage = Filter(FilterConfig(clip="x", clip_image=0.5), TEXTS)
    image = unit([[0, 1, 0, 0.5]])
    (result,) = stage([record(labels("cat", "dog"), clip_crops=AXES[[0, 1]], clip_image=image)])
    assert result.objects.keep.tolist() == [False, True]
    assert result.objects.reason[0].startswith("clip_image: 0.01 < 0.5")


def test_sigmoid_scores_each_text_by_itself() -> None:
    siglip = TextVectors(TEXTS.names, 2, AXES, Scoring(10.0, -5.0, True))
    found = class_probabilities(labels("cat"), unit([[1, 1, 0, 0]]), None, siglip)
    expected = 1 / (1 + np.exp(5 - 10 / np.sqrt(2)))
    np.testing.assert_allclose(found.own, expected, rtol=1e-5)
    np.testing.assert_allclose(found.margin, 0, atol=1e-6)


def test_a_class_that_the_texts_do_not_know_has_probability_zero() -> None:
    found = class_probabilities(labels("bird"), AXES[:1], None, TEXTS)
    assert found.own.tolist() == [0]


def test_joined_rows_must_be_those_of_the_records() -> None:
    row = Record("a", "", error="gone", vectors={CROPS: AXES[:1], WHOLE: AXES[1:2]})
    (found,) = join_vectors([Record("a", "a")], {"clip": [row]})
    assert found.error == "gone"
    assert set(found.vectors or {}) == {"clip/crops", "clip/image"}
    with pytest.raises(ValueError, match="clip has image a, not b"):
        join_vectors([Record("b", "b")], {"clip": [row]})
