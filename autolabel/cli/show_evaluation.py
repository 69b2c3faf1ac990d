"""How an evaluation looks: one table of all that was measured, then one by class for each."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from autolabel.cli import show

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


def evaluation(result: dict[str, Any], as_json: bool) -> None:
    """Show figures against hand labels: all entries, by class, differences, and what they say."""
    if as_json:
        show.data(result)
        return
    from autolabel.metrics.summary import sentences

    show.table(_overview(result))
    for row in result["rows"]:
        if row["classes"]:
            show.table(_by_class(row))
    if any(row["masks"] for row in result["rows"]):
        show.table(_masks(result))
    if any(one["figures"] for one in result["differences"]):
        show.table(_differences(result))
    for line in sentences(result):
        show.message(line)
    _left_out(result)


def _overview(result: dict[str, Any]) -> Table:
    title = f"against {result['truth']}: {result['images']} images"
    shown = _table(title, "", "AP", "AP50", "95 %", "AP75", "P", "R", "F1", "best F1", "img/s")
    for row in result["rows"]:
        interval = row["intervals"].get("ap50")
        shown.add_row(
            escape(row["name"]), _figure(row["ap"]), _figure(row["ap50"]), _range(interval),
            *(_figure(row[name]) for name in ("ap75", "precision", "recall", "f1")),
            _best(row["best_f1"]), _rate(row["images_per_second"]),
        )  # fmt: skip
    return shown


def _by_class(row: dict[str, Any]) -> Table:
    """Tabulate figures by class, then AP by size where there is an object of that size."""
    names = _BY_CLASS | {n: shown for n, shown in _SIZES.items() if row[n] is not None}
    title = f"\n{row['name']} by class; P, R and F1 from score {row['score_threshold']:g}"
    shown = _table(title, "", *names.values(), "true", "found")
    for name, one in row["classes"].items():
        counts = (str(one["truth"]), str(one["predicted"]))
        shown.add_row(escape(name), *(_figure(one[n]) for n in names), *counts)
    totals = (str(sum(one[n] for one in row["classes"].values())) for n in ("truth", "predicted"))
    shown.add_row("all", *(_figure(row[n]) for n in names), *totals)
    if row["intervals"]:
        for end, word in enumerate(("from", "to")):
            bounds = (row["intervals"].get(n) for n in names)
            figures = ("–" if b is None else _figure(b[end]) for b in bounds)
            shown.add_row(f"95 % {word}", *figures, style="dim")
    return shown


def _masks(result: dict[str, Any]) -> Table:
    shown = _table("\nmasks", "", *_MASKS.values(), "95 % of AP50")
    for row in result["rows"]:
        if (masks := row["masks"]) is not None:
            interval = masks["intervals"].get("ap50")
            figures = (_figure(masks[name]) for name in _MASKS)
            shown.add_row(escape(row["name"]), *figures, _range(interval))
    return shown


def _differences(result: dict[str, Any]) -> Table:
    title = "\ndifferences, with paired 95 % intervals"
    shown = _table(title, "", *(_BY_CLASS[name] for name in _DIFFERENCES))
    for one in result["differences"]:
        cells = (_change(one["figures"].get(name)) for name in _DIFFERENCES)
        shown.add_row(escape(f"{one['of']} - {one['minus']}"), *cells)
    return shown


def _left_out(result: dict[str, Any]) -> None:
    """Name the worst photos, and what was not measured."""
    row = result["rows"][-1]
    if row["worst"]:
        listed = ", ".join(
            f"{show.one_line(w['name'])} ({w['fp']} false, {w['fn']} missed)"
            for w in row["worst"][:5]
        )
        show.message(f"worst images of {row['name']}: {listed}")
    if result["unmatched"]:
        show.message(f"{len(result['unmatched'])} hand-labelled images have no labels here:")
        for name in result["unmatched"]:
            show.message(f"  {show.one_line(name)}: {result['unmatched_reasons'][name]}")
    if result["classes_without_truth"]:
        listed = ", ".join(result["classes_without_truth"])
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


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _range(interval: list[float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.3f}–{interval[1]:.3f}"


def _best(best: dict[str, float] | None) -> str:
    return "–" if best is None else f"{best['f1']:.3f} @ {best['threshold']:.2f}"


def _rate(images_per_second: float | None) -> str:
    return "–" if images_per_second is None else f"{images_per_second:.1f}"


def _change(figure: dict[str, Any] | None) -> str:
    if figure is None:
        return "–"
    if not figure["interval"]:
        return f"{figure['value']:+.3f}"
    low, high = figure["interval"]
    return f"{figure['value']:+.3f}\n{low:+.3f}…{high:+.3f}"
