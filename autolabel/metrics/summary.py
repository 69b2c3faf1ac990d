"""The result in sentences that need no table."""

from __future__ import annotations

from autolabel.metrics.result import Difference, EntryResult, Estimate, Evaluation, Interval, Speed

_LABELLED = ("labels", "teacher")


def sentences(result: Evaluation) -> list[str]:
    """Say what a result says: a sentence for each comparison, then its notes.

    >>> sentences(Evaluation.model_validate({"truth": "hand.json", "images": 9, "rows": [],
    ...     "differences": [{"of": "small", "minus": "filter", "figures": {"ap50":
    ...     {"value": -0.03, "interval": [-0.05, -0.01]}}}]}))
    ['small is 0.030 AP50 below filter (95 %: -0.050 to -0.010).']
    """
    rows = {row.name: row for row in result.rows}
    lines = [_difference(one, rows, result.speed) for one in result.differences]
    lines += [_operating(one, rows) for one in result.differences]
    lines += [_share(result), timed(result.speed) if result.speed else ""]
    lines += [_optimistic(row) for row in result.rows if row.kind in ("student", "reference")]
    return [line for line in lines if line] + result.notes


def _difference(one: Difference, rows: dict[str, EntryResult], speed: Speed | None) -> str:
    """Give AP50 of a student, precision and recall of a filter, whose AP50 says little."""
    labels = _is_labelled(one.minus, rows)
    if one.of in rows and rows[one.of].kind == "labels":
        parts = [_change(one.figures.get(name), name) for name in ("precision", "recall")]
        listed = ", ".join(part for part in parts if part)
        return f"{one.of} changes what {one.minus} found: {listed}." if listed else ""
    figure = one.figures.get("ap50")
    if figure is None or figure.value is None:
        return ""
    where = "below" if figure.value < 0 else "above"
    other = f"the labels of {one.minus}" if labels else one.minus
    line = f"{one.of} is {abs(figure.value):.3f} AP50 {where} {other}{_within(figure.interval)}"
    faster = speed.times_faster.get(one.of) if speed else None
    if speed is not None and faster is not None and labels:
        low, high = speed.times_faster_range.get(one.of, (faster, faster))
        line += f", and {_times(faster)} the teacher ({_range(low, high)})"
    return f"{line}.{_unsure(figure.interval)}"


def _operating(one: Difference, rows: dict[str, EntryResult]) -> str:
    """Give precision and recall of a student where it is used, and plainly which of them fell."""
    of, minus = rows.get(one.of), rows.get(one.minus)
    if of is None or minus is None or of.kind != "student" or minus.kind not in _LABELLED:
        return ""
    pairs = {"precision": (of.precision, minus.precision), "recall": (of.recall, minus.recall)}
    known = {n: (a, b) for n, (a, b) in pairs.items() if a is not None and b is not None}
    if not known:
        return ""
    figures = " and ".join(f"{n} {a:.3f} against {b:.3f}" for n, (a, b) in known.items())
    line = f"From score {of.score_threshold:g} up, {of.name} has {figures} of the labels"
    fell = [n for n, (a, b) in known.items() if round(a - b, 3) < 0]
    if not fell:
        return f"{line}."
    changes = {n: one.figures.get(n) or Estimate() for n in fell}
    return f"{line}: {' and '.join(f'{n} fell{_within(c.interval)}' for n, c in changes.items())}."


def timed(speed: Speed) -> str:
    """Say what a speed was measured on; nothing where there were no rounds.

    >>> timed(Speed.model_validate({"images": 16, "image_sizes": [[640, 480]], "device": "cpu",
    ...     "batch_sizes": {"detect": 1, "s": 8}, "processor": "Some CPU", "cores": 2,
    ...     "threads": 1, "repeats": 5}))[44:]
    '16 photos of 640 x 480 pixels, 1 (detect) or 8 (s) at a time, in turns, 5 rounds.'
    """
    if not speed.repeats:
        return ""
    on = [speed.device, f"{speed.cores} cores"]
    on.append(f"{speed.threads} thread{'' if speed.threads == 1 else 's'}")
    sizes = " to ".join(f"{width} x {height}" for width, height in speed.image_sizes)
    return (
        f"Timed on {speed.processor} ({', '.join(on)}): {speed.images} "
        f"photos{f' of {sizes} pixels' if sizes else ''}{_batches(speed)}, in turns, "
        f"{speed.repeats} round{'' if speed.repeats == 1 else 's'}."
    )


def _batches(speed: Speed) -> str:
    """Say how many images a model got at a time; with the names where they differ."""
    names: dict[int, list[str]] = {}
    for name, size in speed.batch_sizes.items():
        names.setdefault(size, []).append(name)
    if not names:
        return ""
    if len(names) == 1:
        return f", {next(iter(names))} at a time"
    listed = (f"{size} ({', '.join(those)})" for size, those in sorted(names.items()))
    return f", {' or '.join(listed)} at a time"


def _range(low: float, high: float) -> str:
    return f"{low:.1f} to {high:.1f}" if high < 10 else f"{low:.0f} to {high:.0f}"


def _is_labelled(name: str, rows: dict[str, EntryResult]) -> bool:
    return name in rows and rows[name].kind in _LABELLED


def _change(figure: Estimate | None, name: str) -> str:
    if figure is None or figure.value is None:
        return ""
    return f"{name} {figure.value:+.3f}{_within(figure.interval)}"


def _within(interval: Interval) -> str:
    return f" (95 %: {interval[0]:.3f} to {interval[1]:.3f})" if interval else ""


def _unsure(interval: Interval) -> str:
    if interval and interval[0] <= 0 <= interval[1]:
        return " These photos are too few to tell which is better."
    return ""


def _times(faster: float) -> str:
    return f"{faster:.1f} times as fast as" if faster < 10 else f"{faster:.0f} times as fast as"


def _share(result: Evaluation) -> str:
    """Say what auto labels cost, against hand labels of the same images."""
    figure = result.reference.share.get("ap50") if result.reference else None
    if result.reference is None or figure is None or figure.value is None:
        return ""
    bounds = ""
    if figure.interval:
        low, high = figure.interval
        bounds = f" (95 %: {low:.1%} to {high:.1%})"
    return (
        f"{result.reference.of} reaches {figure.value:.1%}{bounds} of the AP50 of the same student "
        "trained on hand labels."
    )


def _optimistic(row: EntryResult) -> str:
    best = row.best_f1
    if best is None:
        return ""
    return (
        f"{row.name} has its best F1, {best.f1:.3f}, at score {best.threshold:.2f}; that "
        "threshold is chosen on these hand labels, so the figure is optimistic."
    )
