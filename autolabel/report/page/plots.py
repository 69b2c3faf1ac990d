"""Plots as SVG that takes its colours and its fonts from the page, so that both modes suit it.

No name of a class is in a plot: names stand in the page's own text, where they are escaped, wrap
and are read aloud.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

SERIES = ("--series-1", "--series-2", "--series-3", "--series-4", "--series-5")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)), (0, (3, 1)))
"""Lines differ in their dashes too, for those who cannot tell the colours apart."""

_INK, _GRID = "#010203", "#040506"
_STAND_INS = ("#0a0001", "#0a0002", "#0a0003", "#0a0004", "#0a0005")
"""Colours that stand in the SVG for those of the page."""

_SIZE_INCHES = (3.5, 2.7)


def curves_svg(
    lines: Sequence[tuple[Sequence[float], Sequence[float]]], marks: Sequence[Any]
) -> str:
    """Precision against recall.

    Args:
        lines: recall and precision of each thing measured.
        marks: recall and precision of each at its operating point, or None.
    """
    from matplotlib.patches import Ellipse

    figure, axes = _axes("recall", "precision")
    for i, (recall, precision) in enumerate(lines):
        axes.plot(recall, precision, **_style(i))
        if marks[i] is not None:
            # A patch, not a marker: markers are shared by ids, which must differ on one page.
            axes.add_patch(Ellipse(marks[i], 0.036, 0.048, color=_STAND_INS[i % 5]))
    axes.set(xlim=(0, 1.02), ylim=(0, 1.04), xticks=_TENTHS, yticks=_TENTHS)
    return _svg(figure)


_TENTHS = (0, 0.2, 0.4, 0.6, 0.8, 1)


def epochs_svg(epochs: Sequence[float], lines: Mapping[str, Sequence[float]], unit: str) -> str:
    """Values by epoch, one line for each name, in order; `unit` names the values."""
    from matplotlib.ticker import MaxNLocator

    figure, axes = _axes("epoch", unit)
    for i, values in enumerate(lines.values()):
        if len(epochs) == 1:  # a line of one point would not show
            axes.plot([epochs[0] - 0.3, epochs[0] + 0.3], [*values, *values], **_style(i))
        else:
            axes.plot(epochs, values, **_style(i))
    known = [v for values in lines.values() for v in values if math.isfinite(v)]
    if known and min(known) >= 0:
        axes.set_ylim(0, 1.04 if unit == "share" else max(known) * 1.08 or 1)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    if len(epochs) == 1:
        axes.set_xlim(epochs[0] - 1, epochs[0] + 1)
    return _svg(figure)


def _style(i: int) -> dict[str, Any]:
    return {"color": _STAND_INS[i % 5], "linestyle": DASHES[i % 5], "linewidth": 2}


def _axes(x: str, y: str) -> tuple[Any, Any]:
    from matplotlib.figure import Figure  # without pyplot: no window system, no global state

    figure = Figure(figsize=_SIZE_INCHES, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color=_GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=_INK, length=0, labelsize=9, pad=5)
    for side, spine in axes.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_color(_INK)
    axes.set_xlabel(x, color=_INK, fontsize=9.5)
    axes.set_ylabel(y, color=_INK, fontsize=9.5)
    return figure, axes


def _svg(figure: Any) -> str:
    """The picture alone, without a background, an XML head or ids that two plots would share."""
    import matplotlib

    sink = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "font.family": "sans-serif"}):
        figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    text = sink.getvalue()
    text = text[text.index("<svg") :]
    for pattern, replacement in _CHANGES:
        text = re.sub(pattern, replacement, text, flags=re.DOTALL)
    text = text.replace(_INK, "currentColor").replace(_GRID, "var(--line)")
    for stand_in, name in zip(_STAND_INS, SERIES, strict=True):
        text = text.replace(stand_in, f"var({name})")
    return text


_CHANGES = (
    (r"<metadata>.*?</metadata>", ""),
    (r"<defs>.*?</defs>", ""),  # among them a style for every element, of the page too
    (r"\s(id|clip-path)=\"[^\"]*\"", ""),
    (r"font-family:[^;\"]*;?\s*", ""),
    (r"<svg [^>]*?viewBox=\"([^\"]*)\"[^>]*>", r'<svg viewBox="\1" aria-hidden="true">'),
)
"""What is taken out of an SVG file to make it part of a page."""
