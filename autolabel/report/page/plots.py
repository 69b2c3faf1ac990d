"""Plots as the template ``plot.html`` draws them: axes, and lines as SVG paths.

Written here and not by a plotting library, because a plot in the page takes its colours, dashes and
fonts from the page's style, in both modes, and holds no name of a class: names stand in the page's
own text, where they are escaped, wrap and are read aloud.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

LEFT, RIGHT, TOP, BOTTOM = 36, 246, 6, 160
"""Where the axes lie in the drawing, which is 252 wide and 192 high."""

LARGEST = 1e100
"""Values beyond are not drawn, like those that are not known; a training may diverge."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Axis:
    """One axis: what it shows, and which part of it.

    Attributes:
        name: of the values.
        low, high: the values at its ends.
        start, end: where these lie in the drawing.
        ticks: round values between them.
    """

    name: str
    low: float
    high: float
    start: float
    end: float
    ticks: tuple[float, ...]

    def __call__(self, value: float) -> float:
        """Return where a value lies in the drawing."""
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


@dataclass(frozen=True)
class Plot:
    """A plot, its name, and the same in words.

    Attributes:
        lines: an SVG path for each line; empty where it has no point.
        marks: where the mark of each line lies in the drawing, or None.
    """

    title: str
    text: str
    x: Axis
    y: Axis
    lines: tuple[str, ...]
    marks: tuple[Point | None, ...] = ()


def curve_plot(
    title: str, text: str, lines: Iterable[Iterable[Point]], marks: Iterable[Point | None]
) -> Plot:
    """Plot precision against recall.

    Args:
        title: its name.
        text: the same in words.
        lines: (recall, precision) of each thing measured, from threshold to threshold.
        marks: (recall, precision) of each at its operating point, or None.
    """
    fifths = ticks(0, 1, 5)
    x, y = _across("recall", 0, 1.02, fifths), _up("precision", 0, 1.04, fifths)
    placed = (mark and (x(mark[0]), y(mark[1])) for mark in marks)
    return Plot(title, text, x, y, tuple(_path(line, x, y) for line in lines), tuple(placed))


def epoch_plot(
    title: str,
    text: str,
    epochs: Sequence[float],
    lines: Mapping[str, Sequence[float]],
    unit: str,
) -> Plot:
    """Plot values by epoch, one line for each name, in order; `unit` names the values."""
    first, last = min(_known(epochs), default=0.0), max(_known(epochs), default=0.0)
    if first == last:
        first, last = first - 1, last + 1
    known = _known(value for values in lines.values() for value in values)
    low, high = min([0.0, *known]), 1.04 if unit == "share" else 1.08 * max([0.0, *known])
    if high - low < 1e-12:
        high = low + 1
    x = _across("epoch", first, last, ticks(first, last, 6, whole=True))
    y = _up(unit, low, high, ticks(low, high, 6))
    at = epochs
    if len(epochs) == 1:  # a line of one point would not show
        at = (epochs[0] - 0.3, epochs[0] + 0.3)
        lines = {name: (*values, *values) for name, values in lines.items()}
    paths = tuple(_path(zip(at, values, strict=True), x, y) for values in lines.values())
    return Plot(title, text, x, y, paths)


def ticks(low: float, high: float, most: int, *, whole: bool = False) -> tuple[float, ...]:
    """Return round values between two others: 1, 2 or 5 times a power of ten apart.

    Args:
        low: no value is less.
        high: no value is more; above `low`.
        most: how many steps there are at most.
        whole: whether only whole numbers are wanted.

    >>> ticks(0, 1, 5), ticks(1, 90, 6, whole=True)
    ((0.0, 0.2, 0.4, 0.6, 0.8, 1.0), (20.0, 40.0, 60.0, 80.0))
    """
    rough = (high - low) / most
    power = math.floor(math.log10(rough))
    step = next(f * 10.0**power for f in (1, 2, 5, 10) if f * 10.0**power >= rough * (1 - 1e-9))
    step = max(step, 1.0) if whole else step
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return tuple(round(k * step, 12) for k in range(first, last + 1))


def _across(name: str, low: float, high: float, at: tuple[float, ...]) -> Axis:
    return Axis(name, low, high, LEFT, RIGHT, at)


def _up(name: str, low: float, high: float, at: tuple[float, ...]) -> Axis:
    return Axis(name, low, high, BOTTOM, TOP, at)


def _known(values: Iterable[float]) -> list[float]:
    return [value for value in values if abs(value) < LARGEST]


def _path(points: Iterable[Point], x: Axis, y: Axis) -> str:
    """Return an SVG path; where a value is not known, the line has a gap."""
    path, pen = "", "M"
    for across, up in points:
        if len(_known((across, up))) == 2:
            path += f"{pen}{x(across):g} {y(up):g}"
            pen = "L"
        else:
            pen = "M"
    return path
