"""What the sentences say: which is better, whether that is sure, and what fell."""

from __future__ import annotations

from typing import Any

import pytest

from autolabel.metrics.result import Evaluation
from autolabel.metrics.summary import sentences, timed


def said(difference: dict[str, Any], *rows: dict[str, Any], **more: Any) -> list[str]:
    one = {"of": "small", "minus": "filter", "figures": difference}
    kinds = {"detect": "teacher", "filter": "labels", "small": "student"}
    known = {row["name"]: row for row in rows}
    listed = [{"name": name, "kind": kind, **known.get(name, {})} for name, kind in kinds.items()]
    whole = {"truth": "hand", "images": 9, "rows": listed, "differences": [one], **more}
    return sentences(Evaluation.model_validate(whole))


@pytest.mark.parametrize(
    ("value", "interval", "words", "unsure"),
    [
        (-0.03, [-0.05, -0.01], "0.030 AP50 below", False),
        (0.03, [0.01, 0.05], "0.030 AP50 above", False),
        (0.03, [-0.01, 0.05], "0.030 AP50 above", True),
        (0.03, None, "0.030 AP50 above", False),
    ],
)
def test_a_difference(value: float, interval: Any, words: str, unsure: bool) -> None:
    (line,) = said({"ap50": {"value": value, "interval": interval}})
    assert words in line
    assert ("too few" in line) is unsure


def test_a_filter_is_told_by_precision_and_recall() -> None:
    figures = {"ap50": {"value": 0.5}, "precision": {"value": 0.011}, "recall": {"value": -0.004}}
    one = {"of": "filter", "minus": "detect", "figures": figures}
    (line,) = said({}, differences=[one])
    assert "precision +0.011" in line
    assert "recall -0.004" in line
    assert "AP50" not in line


def test_what_fell_is_said_and_what_rose_is_not() -> None:
    labels = {"name": "filter", "precision": 0.7, "recall": 0.9}
    student = {"name": "small", "precision": 0.8, "recall": 0.6, "score_threshold": 0.5}
    (line,) = said({}, labels, student)
    assert "precision 0.800 against 0.700 and recall 0.600 against 0.900" in line
    assert "recall fell" in line
    assert "precision fell" not in line
    (line,) = said({}, labels, {**student, "recall": 0.9})
    assert "fell" not in line


def test_speed_is_told_beside_the_labels() -> None:
    speed = {"times_faster": {"small": 7.4}, "times_faster_range": {"small": [6.9, 12.0]}}
    line = said({"ap50": {"value": -0.03}}, speed=speed)[0]
    assert "7.4 times as fast as the teacher (7 to 12)" in line


def test_a_speed_without_rounds_says_nothing() -> None:
    result = Evaluation.model_validate({"truth": "t", "images": 1, "rows": [], "speed": {}})
    assert result.speed is not None
    assert timed(result.speed) == ""


def test_the_share_of_the_hand_label_baseline() -> None:
    share = {"of": "small", "minus": "small on hand labels",
             "share": {"ap50": {"value": 0.9, "interval": [0.85, 0.95]}}}  # fmt: skip
    assert any("90.0% (95 %: 85.0% to 95.0%)" in line for line in said({}, reference=share))


def test_a_threshold_chosen_on_these_labels_is_called_optimistic() -> None:
    best = {"threshold": 0.62, "f1": 0.736}
    lines = said({}, {"name": "small", "best_f1": best}, {"name": "filter", "best_f1": best})
    assert [line.split()[0] for line in lines] == ["small"]
    assert "0.736, at score 0.62" in lines[0]
