"""From the context to HTML: how numbers are written, and the template that they go into."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from autolabel.config.train import TrainConfig
from autolabel.metrics.result import EntryResult, Estimate, Evaluation, Interval
from autolabel.metrics.summary import timed
from autolabel.report.page.conclusions import photos, spread
from autolabel.report.page.context import ReportContext
from autolabel.report.page.plots import curves_svg, epochs_svg
from autolabel.report.pictures.drawing import PALETTE
from autolabel.report.results import LABELS, STUDENT, Training, last_of
from autolabel.stages.history import changed_settings

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


@dataclass(frozen=True)
class Tile:
    """One number, large."""

    value: str
    label: str
    note: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot, its name, and the same in words; `svg` is our own and safe to show as it is."""

    title: str
    svg: str
    text: str


def render(context: ReportContext) -> str:
    """The page; every name in it is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("autolabel.report.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "figure": figure,
        "spread": spread,
        "signed": signed,
        "percent": percent,
        "reading": reading,
        "value": value,
        "svg": Markup,
        "photos": photos,
    }
    measured = context.measured
    return environment.get_template("report.html").render(
        context=context,
        tiles=tiles(context),
        about=ABOUT,
        compared=COMPARED,
        colours=[PALETTE[i % len(PALETTE)] for i in range(len(context.ontology.names))],
        curves=curves(measured) if measured else [],
        timed=timed(measured.speed.model_dump()) if measured and measured.speed else "",
        judged=[row for kind in (LABELS, STUDENT) if (row := last_of(measured, kind))],
        learning=[(t, learning(t), about_training(t.run)) for t in context.trainings],
    )


# -- numbers ------------------------------------------------------------------------------------


def figure(number: float | None) -> str:
    """Three digits, or a dash where there is no number.

    >>> figure(0.81649), figure(None)
    ('0.816', '–')
    """
    return "–" if number is None or not math.isfinite(number) else f"{number:.3f}"


def signed(number: float | None) -> str:
    """Three digits with a sign.

    >>> signed(-0.0312), signed(0.5)
    ('−0.031', '+0.500')
    """
    return figure(number) if number is None else f"{number:+.3f}".replace("-", "−")


def percent(share: float | None) -> str:
    """
    >>> percent(0.9649), percent(None)
    ('96 %', '–')
    """
    return "–" if share is None else f"{100 * share:.0f} %"


def reading(change: Estimate | None) -> str:
    """A difference in words, by whether its interval leaves out zero.

    >>> reading(Estimate(value=-0.1, interval=(-0.2, 0.02)))
    'no clear difference'
    """
    if change is None or change.value is None or change.interval is None:
        return ""
    low, high = change.interval
    return "clearly better" if low > 0 else "clearly worse" if high < 0 else "no clear difference"


def value(setting: Any) -> str:
    """A setting as people would type it."""
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)


# -- what is shown ------------------------------------------------------------------------------


def tiles(context: ReportContext) -> list[Tile]:
    """The numbers that most people look for."""
    counts, measured = context.statistics, context.measured
    kept, lost = sum(counts.kept.values()), sum(counts.rejected.values())
    shown = [
        Tile(f"{counts.usable:,}", "photos labelled", f"{counts.empty:,} without a label"),
        Tile(f"{kept:,}", "labels kept", f"{lost:,} rejected"),
    ]
    for row, label in (
        (last_of(measured, LABELS), "labels"),
        (last_of(measured, STUDENT), "small detector"),
    ):
        if row is not None:
            shown.append(Tile(_two(row.ap50), f"AP50, {label}", _range(row.intervals.get("ap50"))))
    student = last_of(measured, STUDENT)
    if student is not None and student.precision is not None:
        note = f"recall {_two(student.recall)}, from score {_two(student.score_threshold)}"
        shown.append(Tile(_two(student.precision), "precision, small detector", note))
    if measured and measured.speed and student:
        times = measured.speed.times_faster.get(student.name)
        rate = measured.speed.students.get(student.name)
        if times is not None:
            spread_of = measured.speed.times_faster_range.get(student.name)
            between = f"{spread_of[0]:.1f} to {spread_of[1]:.1f}" if spread_of else ""
            note = f"{rate:.1f} images/s on {measured.speed.device}" if rate else ""
            note = "; ".join(part for part in (between, note) if part)
            shown.append(Tile(f"{times:.1f} ×", "as fast as the large models", note))
    if measured and measured.reference:
        share = measured.reference.share.get("ap50")
        if share and share.value is not None:
            note = f"95 %: {_percents(share.interval)}"
            shown.append(Tile(percent(share.value), "of what hand labels give", note))
    return shown


def _two(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def _range(interval: Interval) -> str:
    return f"95 %: {spread(interval)}" if interval else ""


def _percents(interval: Interval) -> str:
    return f"{100 * interval[0]:.0f} to {100 * interval[1]:.0f} %" if interval else "–"


def curves(measured: Evaluation) -> list[Plot]:
    """Precision against recall for each class."""
    rows = [row for row in measured.rows if row.curves]

    def most_truth(name: str) -> int:
        return -max((r.classes[name].truth for r in rows if name in r.classes), default=0)

    names = sorted(measured.classes, key=most_truth)[:MOST_CURVES]
    return [_curve(name, rows) for name in names if any(name in row.curves for row in rows)]


def _curve(name: str, rows: Sequence[EntryResult]) -> Plot:
    lines, marks, said = [], [], []
    for row in rows:
        curve, figures = row.curves.get(name), row.classes.get(name)
        lines.append((curve.recall, curve.precision) if curve else ([], []))
        known = figures and figures.recall is not None and figures.precision is not None
        marks.append((figures.recall, figures.precision) if figures and known else None)
        if figures:
            said.append(
                f"{row.name}: AP50 {figure(figures.ap50)}, at its operating point precision "
                f"{figure(figures.precision)} and recall {figure(figures.recall)}"
            )
    text = f"Precision against recall for {name}. {'; '.join(said)}."
    return Plot(name, curves_svg(lines, marks), text)


def learning(training: Training) -> list[tuple[Plot, list[str]]]:
    """Curves by epoch, each with the names of its lines."""
    columns = training.epochs
    epochs = columns.get("epoch", [])
    if not epochs:
        return []
    known = {n: v for n, v in columns.items() if any(math.isfinite(x) for x in v)}
    shares = {n: known[n] for n in _SHARES if n in known}
    losses = {n: v for n, v in known.items() if "loss" in n}
    shown = []
    for lines, unit, title in (
        (shares, "share", "On the part of the labels set aside"),
        (dict(list(losses.items())[:5]), "loss", "Training losses"),
    ):
        if lines:
            said = ", ".join(f"{n} {figure(v[-1])}" for n, v in lines.items())
            text = f"{title}, {len(epochs)} epochs; at the end {said}."
            shown.append((Plot(title, epochs_svg(epochs, lines, unit), text), list(lines)))
    return shown


_SHARES: tuple[str, ...] = ("ap50", "ap", "precision", "recall", "mask_ap50")


def about_training(run: dict[str, Any]) -> list[tuple[str, str]]:
    """What run.json says, in words; what it leaves out is left out."""
    said = [(name, run.get(key)) for key, name in _TRAINING.items()]
    told = [(name, value(v)) for name, v in said if v not in (None, "", [], {})]
    changed = changed_settings(TrainConfig, _mapping(run, "settings"))
    if len(held := changed.get("holdout") or ()) > 2:  # `run` names every photo that is measured on
        changed["holdout"] = f"{len(held)} photos"
    options = ", ".join(f"{k}: {value(v)}" for k, v in changed.items())
    told += [("options", options)] if options else []
    if run.get("resumed_from"):
        epochs = run["resumed_from"]
        listed = epochs if isinstance(epochs, list) else [epochs]
        told.append(("resumed", f"was stopped and went on from epoch {_and(listed)}"))
    parts = [f"{count} {reason}" for reason, count in _mapping(run, "skipped").items() if count]
    told += [("not learned from", ", ".join(parts))] if parts else []
    told += [("operating threshold", known)] if (known := _threshold(run)) else []
    if isinstance(run.get("seconds"), int | float):
        told.append(("time", _minutes(run["seconds"])))
    return told


_TRAINING = {
    "student": "starts as",
    "licence": "licence",
    "state": "state",
    "layer": "labels",
    "images": "photos learned from",
    "val_images": "photos set aside",
    "objects": "labels learned from",
    "epochs_done": "epochs done",
    "best_epoch": "best epoch",
    "machine": "trained on",
}


def _threshold(run: dict[str, Any]) -> str:
    """From which score the detector is used, and how good it is there by the machine's labels."""
    chosen = _mapping(run, "threshold")
    score, f1 = chosen.get("score"), chosen.get("f1")
    if not isinstance(score, int | float):
        return ""
    if not isinstance(f1, int | float):
        return f"{score:g}, as {chosen.get('why', 'none could be chosen')}"
    return f"{score:g}, chosen on the photos set aside (F1 {f1:.3f} there)"


def _mapping(run: dict[str, Any], key: str) -> dict[str, Any]:
    found = run.get(key)
    return found if isinstance(found, dict) else {}


def _and(items: Sequence[Any]) -> str:
    return " and ".join(map(str, items))


def _minutes(seconds: float) -> str:
    """
    >>> _minutes(75), _minutes(12.4)
    ('1 min 15 s', '12 s')
    """
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
