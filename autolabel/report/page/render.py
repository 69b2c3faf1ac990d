"""From the context to HTML: the template, and what it needs beside the context."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.metrics.result import EntryResult, Evaluation
from autolabel.metrics.summary import timed
from autolabel.report.page import numbers
from autolabel.report.page.context import ReportContext
from autolabel.report.page.plots import Plot, curve_plot
from autolabel.report.page.tiles import tiles
from autolabel.report.page.trainings import about_training, learning_curves
from autolabel.report.pictures.drawing import PALETTE
from autolabel.report.results import LABELS, STUDENT, last_of

MOST_CURVES = 12
"""Classes with a plot; those with most hand-labelled objects come first."""

ABOUT = {
    "teacher": "what the large models propose",
    "labels": "what is kept of it",
    "student": "the small detector",
    "reference": "the same detector, trained on hand labels",
}
"""Kind of a row -> what it is."""

COMPARED = (
    ("ap50", "AP50"),
    ("ap", "AP"),
    ("precision", "precision"),
    ("recall", "recall"),
    ("f1", "F1"),
)
"""Figures whose differences and shares are shown, and what they are called."""


def render(context: ReportContext) -> str:
    """Return the page; every name in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("autolabel.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    written = ("figure", "spread", "signed", "percent", "reading", "value", "photos")
    environment.filters |= {name: getattr(numbers, name) for name in written}
    measured = context.measured
    return environment.get_template("report.html").render(
        context=context,
        tiles=tiles(context.statistics, measured, context.audit),
        about=ABOUT,
        compared=COMPARED,
        colours=[PALETTE[i % len(PALETTE)] for i in range(len(context.ontology.names))],
        curves=_curves(measured) if measured else [],
        timed=timed(measured.speed) if measured and measured.speed else "",
        judged=[row for kind in (LABELS, STUDENT) if (row := last_of(measured, kind))],
        learning=[(t, learning_curves(t), about_training(t)) for t in context.trainings],
    )


def _curves(measured: Evaluation) -> list[Plot]:
    """Plot precision against recall for each class."""
    rows = [row for row in measured.rows if row.curves]

    def most_truth(name: str) -> int:
        return -max((r.classes[name].truth for r in rows if name in r.classes), default=0)

    names = sorted(measured.classes, key=most_truth)[:MOST_CURVES]
    return [_curve(name, rows) for name in names if any(name in row.curves for row in rows)]


def _curve(name: str, rows: Sequence[EntryResult]) -> Plot:
    lines, marks, said = [], [], []
    for row in rows:
        curve, figures = row.curves.get(name), row.classes.get(name)
        lines.append(zip(curve.recall, curve.precision, strict=False) if curve else ())
        at = (figures.recall, figures.precision) if figures else (None, None)
        marks.append(None if at[0] is None or at[1] is None else (at[0], at[1]))
        if figures:
            ap50, precision, recall = (
                numbers.figure(n) for n in (figures.ap50, figures.precision, figures.recall)
            )
            said.append(
                f"{row.name}: AP50 {ap50}, at its operating point precision {precision} and "
                f"recall {recall}"
            )
    text = f"Precision against recall for {name}. {'; '.join(said)}."
    return curve_plot(name, text, lines, marks)
