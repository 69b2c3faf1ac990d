"""Hand labels that are in truth a machine's: told by their boxes alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from autolabel.evaluate.own_boxes import are_the_same
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.types import Objects


def boxes(count: int, *, between: float = 0.0, score: float = 1.0) -> Objects:
    corners = np.arange(count)[:, None] * 10.0 + [0, 0, 8, 8] + between
    return Objects.create(["cat"] * count, [score] * count, corners)


def same(found: Sequence[Objects], truth: Sequence[Objects]) -> bool:
    flags = tuple(np.zeros(len(one), bool) for one in truth)
    names = tuple(str(i) for i in range(len(truth)))
    sides = ((640, 640),) * len(truth)
    return are_the_same(
        found, EvaluationSet(("cat",), (), tuple(truth), flags, names, names, sides)
    )


@pytest.mark.parametrize(
    ("hand", "expected"),
    [
        (boxes(20), True),
        (boxes(19), False),  # people draw whole pixels too
        (boxes(3, between=0.4), True),
        (boxes(2, between=0.4), False),
        (boxes(3, score=0.7), True),
        (boxes(2, score=0.7), False),
        (boxes(0), False),
    ],
)
def test_so_many_equal_boxes_are_no_chance(hand: Objects, expected: bool) -> None:
    found = replace(hand, score=np.full(len(hand), 0.7, np.float32))
    assert same([found], [hand]) is expected


def test_they_may_be_rounded_and_in_another_order() -> None:
    found = boxes(20, between=0.4)
    hand = replace(found, xyxy=np.round(found.xyxy, 2) + np.float32(0.01))[np.arange(20)[::-1]]
    assert same([found], [hand])
    assert not same([found], [replace(hand, xyxy=hand.xyxy + np.float32(0.5))])


def test_one_that_differs_is_enough_to_believe_them() -> None:
    found = [boxes(20), boxes(4)]
    assert same(found, [boxes(20), boxes(4)])
    assert not same(found, [boxes(20), boxes(5)])
    other = boxes(4)
    other.xyxy[0, 2] += 3
    assert not same(found, [boxes(20), other])


def test_a_class_that_is_not_measured_has_no_say() -> None:
    owls = replace(boxes(5), label=np.array(["owl"] * 5, object))
    both = Objects.create(
        [*boxes(20).label, *owls.label], np.ones(25), np.concatenate([boxes(20).xyxy, owls.xyxy])
    )
    assert same([both], [boxes(20)])
