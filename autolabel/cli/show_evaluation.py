"""How an evaluation looks: one table of all that was measured, then one by class for each."""

from __future__ import annotations

from collections.abc import Sequence

from rich.markup import escape
from rich.table import Table

from autolabel.cli import show
from autolabel.metrics.result import BestF1, EntryResult, Estimate, Evaluation, Figures, Interval
from autolabel.metrics.summary import sentences

_BY_CLASS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "precision": "P",
    "recall": "R",
    "f1": "F1",
}
_SIZES = {"ap_small": "small", "ap_medium": "med.", "ap_large": "large"}
_MASKS = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "mean_iou": "mean IoU"}
_DIFFERENCES = ("ap50", "precision", "recall", "f1")


def evaluation(result: Evaluation) -> None:
    """Show figures against hand labels: all entries, by class, differences, and what they say."""
    show.table(_overview(result))
    for row in result.rows:
        if row.classes:
            show.table(_by_class(row))
    if any(row.masks for row in result.rows):
        show.table(_masks(result))
    if any(one.figures for one in result.differences):
        show.table(_differences(result))
    for line in sentences(result):
        show.message(line)
    _left_out(result)


def _overview(result: Evaluation) -> Table:
    title = f"against {result.truth}: {result.images} images"
    shown = _table(title, "", "AP", "AP50", "95 %", "AP75", "P", "R", "F1", "best F1", "img/s")
    for row in result.rows:
        shown.add_row(
            escape(row.name), *_figures(row, ("ap", "ap50")), _range(row.intervals.get("ap50")),
            *_figures(row, ("ap75", "precision", "recall", "f1")),
            _best(row.best_f1), _rate(row.images_per_second),
        )  # fmt: skip
    return shown


def _by_class(row: EntryResult) -> Table:
    """Tabulate figures by class, then AP by size where there is an object of that size."""
    names = _BY_CLASS | {n: shown for n, shown in _SIZES.items() if getattr(row, n) is not None}
    title = f"\n{row.name} by class; P, R and F1 from score {row.score_threshold:g}"
    shown = _table(title, "", *names.values(), "true", "found")
    for name, one in row.classes.items():
        counts = (str(one.truth), str(one.predicted))
        shown.add_row(escape(name), *_figures(one, tuple(names)), *counts)
    classes = row.classes.values()
    totals = (sum(one.truth for one in classes), sum(one.predicted for one in classes))
    shown.add_row("all", *_figures(row, tuple(names)), *map(str, totals))
    if row.intervals:
        for end, word in enumerate(("from", "to")):
            bounds = (row.intervals.get(n) for n in names)
            figures = ("–" if b is None else _figure(b[end]) for b in bounds)
            shown.add_row(f"95 % {word}", *figures, style="dim")
    return shown


def _masks(result: Evaluation) -> Table:
    shown = _table("\nmasks", "", *_MASKS.values(), "95 % of AP50")
    for row in result.rows:
        if (masks := row.masks) is not None:
            figures = (_figure(getattr(masks, name)) for name in _MASKS)
            shown.add_row(escape(row.name), *figures, _range(masks.intervals.get("ap50")))
    return shown


def _differences(result: Evaluation) -> Table:
    title = "\ndifferences, with paired 95 % intervals"
    shown = _table(title, "", *(_BY_CLASS[name] for name in _DIFFERENCES))
    for one in result.differences:
        cells = (_change(one.figures.get(name)) for name in _DIFFERENCES)
        shown.add_row(escape(f"{one.of} - {one.minus}"), *cells)
    return shown


def _left_out(result: Evaluation) -> None:
    """Name the worst photos, and what was not measured."""
    row = result.rows[-1]
    if row.worst:
        listed = ", ".join(
            f"{show.one_line(w.name)} ({w.fp} false, {w.fn} missed)" for w in row.worst[:5]
        )
        show.message(f"worst images of {row.name}: {listed}")
    if result.unmatched:
        show.message(f"{len(result.unmatched)} hand-labelled images have no labels here:")
        for name in result.unmatched:
            show.message(f"  {show.one_line(name)}: {result.unmatched_reasons[name]}")
    if result.classes_without_truth:
        listed = ", ".join(result.classes_without_truth)
        show.message(f"not measured, absent from the hand labels: {listed}")


def _table(title: str, first: str, *others: str) -> Table:
    shown = Table(
        title=escape(title),
        title_justify="left",
        header_style="bold underline",
        box=None,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    shown.add_column(first, overflow="fold")
    for name in others:
        shown.add_column(name, justify="right", no_wrap=True)
    return shown


def _figures(row: Figures, names: Sequence[str]) -> list[str]:
    return [_figure(getattr(row, name)) for name in names]


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: Interval) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _best(best: BestF1 | None) -> str:
    return "–" if best is None else f"{best.f1:.3f} @ {best.threshold:.2f}"


def _rate(images_per_second: float | None) -> str:
    return "–" if images_per_second is None else f"{images_per_second:.1f}"


def _change(figure: Estimate | None) -> str:
    if figure is None or figure.value is None:
        return "–"
    if not figure.interval:
        return f"{figure.value:+.3f}"
    low, high = figure.interval
    return f"{figure.value:+.3f}\n{low:+.3f}…{high:+.3f}"
