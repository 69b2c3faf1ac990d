from __future__ import annotations

import itertools
import math
import re

import hypothesis.strategies as st
import pytest
from hypothesis import given

from autolabel.report.page.plots import Plot, curve_plot, epoch_plot, ticks

NUMBERS = st.floats(-1e9, 1e9)


def points(path: str) -> list[list[tuple[float, float]]]:
    """The unbroken parts of a path."""
    parts = [part for part in path.split("M") if part]
    return [[tuple(map(float, p.split())) for p in part.split("L")] for part in parts]


@given(NUMBERS, st.floats(1e-6, 1e9), st.integers(1, 8), st.booleans())
def test_ticks_are_round_even_and_few(low: float, width: float, most: int, whole: bool) -> None:
    high = low + width
    found = ticks(low, high, most, whole=whole)
    slack = 1e-6 * max(abs(low), abs(high), 1)
    assert len(found) <= most + 1
    assert all(low - slack <= tick <= high + slack for tick in found)
    if whole:
        assert all(tick == round(tick) for tick in found)
    steps = {float(f"{b - a:.4g}") for a, b in itertools.pairwise(found)}
    if width > 1e-3 * abs(low):  # else the steps are lost in the digits of the ends
        assert len(steps) <= 1
        assert all(f"{step:e}"[0] in "125" for step in steps)


def test_a_curve_and_its_mark_lie_at_their_values() -> None:
    plot = curve_plot("cat", "", [[(0.0, 1.0), (0.5, 0.5)], []], [(0.5, 0.5), None])
    x, y = plot.x, plot.y
    ((start, middle),) = points(plot.lines[0])
    assert start == (x(0), y(1))
    assert middle == (x(0.5), y(0.5)) == plot.marks[0]
    assert x(0) < x(0.5) < x(1)
    assert y(1) < y(0.5) < y(0)  # higher up is more
    assert plot.lines[1] == ""
    assert plot.marks[1] is None


def epochs(*losses: float) -> Plot:
    return epoch_plot("", "", [float(i) for i in range(1, len(losses) + 1)], {"l": losses}, "loss")


def test_a_line_has_a_gap_where_a_value_is_not_known() -> None:
    nan, inf = math.nan, math.inf
    plot = epochs(3.0, 2.0, nan, 1.0, inf, 1e300, 0.5)
    assert [len(part) for part in points(plot.lines[0])] == [2, 1, 1]
    assert plot.y.high < 4  # what is not drawn does not stretch the axis
    assert epochs(nan, nan).lines == ("",)


def test_one_epoch_is_a_line() -> None:
    (((left, _), (right, _)),) = points(epochs(0.5).lines[0])
    assert left < right


@pytest.mark.parametrize("losses", [(0.0, 0.0), (-3.0, -1.0), (1e-300, 0.0), (-1e99, 1e99)])
def test_any_values_lie_within_the_axes(losses: tuple[float, ...]) -> None:
    plot = epochs(*losses)
    for across, up in points(plot.lines[0])[0]:
        assert plot.x.start <= across <= plot.x.end
        assert plot.y.end <= up <= plot.y.start
    assert plot.y.ticks
    assert not re.search("[a-df-z]", plot.lines[0])
