"""The result in sentences that need no table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def sentences(result: Mapping[str, Any]) -> list[str]:
    """What `evaluate/result.json` says, a sentence for each comparison, then its notes.

    >>> sentences({"differences": [{"of": "small", "minus": "filter", "figures": {"ap50":
    ...     {"value": -0.03, "interval": [-0.05, -0.01]}}}], "rows": [], "notes": []})
    ['small is 0.030 AP50 below filter (95 %: -0.050 to -0.010).']
    """
    kinds = {row["name"]: row["kind"] for row in result["rows"]}
    lines = [_difference(one, kinds, result) for one in result["differences"]]
    lines += [_operating(one, kinds, result) for one in result["differences"]]
    lines += [_share(result), timed(result.get("speed") or {})]
    lines += [_optimistic(row) for row in result["rows"] if row["kind"] in ("student", "reference")]
    return [line for line in lines if line] + list(result.get("notes", ()))


def _difference(one: Mapping[str, Any], kinds: Mapping[str, str], result: Mapping[str, Any]) -> str:
    """AP50 of a student, precision and recall of a filter, whose AP50 says little."""
    of, minus = one["of"], one["minus"]
    if kinds.get(of) == "labels":
        parts = [_change(one, name, name) for name in ("precision", "recall")]
        listed = ", ".join(part for part in parts if part)
        return f"{of} changes what {minus} found: {listed}." if listed else ""
    figure = one["figures"].get("ap50")
    if figure is None:
        return ""
    value = figure["value"]
    where = "below" if value < 0 else "above"
    line = f"{of} is {abs(value):.3f} AP50 {where} {_named(minus, kinds)}{_interval(figure)}"
    faster = ((result.get("speed") or {}).get("times_faster") or {}).get(of)
    if faster is not None and kinds.get(minus) in ("labels", "teacher"):
        low, high = (result["speed"].get("times_faster_range") or {}).get(of) or (faster, faster)
        line += f", and {_times(faster)} the teacher ({_range(low, high)})"
    return f"{line}.{_unsure(figure)}"


def _operating(one: Mapping[str, Any], kinds: Mapping[str, str], result: Mapping[str, Any]) -> str:
    """Precision and recall of a student where it is used, and plainly which of them fell."""
    rows = {row["name"]: row for row in result["rows"]}
    of, minus = rows.get(one["of"]), rows.get(one["minus"])
    if of is None or minus is None or kinds.get(one["of"]) != "student":
        return ""
    if kinds.get(one["minus"]) not in ("labels", "teacher"):
        return ""
    known = [n for n in ("precision", "recall") if of[n] is not None and minus[n] is not None]
    if not known:
        return ""
    figures = " and ".join(f"{n} {of[n]:.3f} against {minus[n]:.3f}" for n in known)
    line = f"From score {of['score_threshold']:g} up, {of['name']} has {figures} of the labels"
    fell = [n for n in known if round(of[n] - minus[n], 3) < 0]
    if not fell:
        return f"{line}."
    parts = [f"{n} fell{_interval(one['figures'].get(n) or {})}" for n in fell]
    return f"{line}: {' and '.join(parts)}."


def timed(speed: Mapping[str, Any]) -> str:
    """What a speed was measured on; empty without one.

    >>> timed({"images": 16, "image_sizes": [[640, 480]], "batch_sizes": {"detect": 1, "s": 8},
    ...     "device": "cpu", "processor": "Some CPU", "cores": 2, "threads": 1, "repeats": 5})[44:]
    '16 photos of 640 x 480 pixels, 1 (detect) or 8 (s) at a time, in turns, 5 rounds.'
    """
    if not speed.get("repeats"):
        return ""
    threads, repeats = speed.get("threads"), speed["repeats"]
    on = [speed.get("device"), f"{speed.get('cores')} cores"]
    on.append(f"{threads} thread{'' if threads == 1 else 's'}")
    sizes = " to ".join(f"{width} x {height}" for width, height in speed.get("image_sizes") or [])
    return (
        f"Timed on {speed.get('processor')} ({', '.join(map(str, on))}): {speed.get('images')} "
        f"photos{f' of {sizes} pixels' if sizes else ''}{_batches(speed)}, in turns, "
        f"{repeats} round{'' if repeats == 1 else 's'}."
    )


def _batches(speed: Mapping[str, Any]) -> str:
    """How many images a model got at a time; with the names where they differ."""
    names: dict[int, list[str]] = {}
    for name, size in (speed.get("batch_sizes") or {}).items():
        names.setdefault(size, []).append(name)
    if not names:
        return ""
    if len(names) == 1:
        return f", {next(iter(names))} at a time"
    listed = (f"{size} ({', '.join(those)})" for size, those in sorted(names.items()))
    return f", {' or '.join(listed)} at a time"


def _range(low: float, high: float) -> str:
    return f"{low:.1f} to {high:.1f}" if high < 10 else f"{low:.0f} to {high:.0f}"


def _named(name: str, kinds: Mapping[str, str]) -> str:
    return f"the labels of {name}" if kinds.get(name) in ("labels", "teacher") else name


def _change(one: Mapping[str, Any], name: str, shown: str) -> str:
    figure = one["figures"].get(name)
    return f"{shown} {figure['value']:+.3f}{_interval(figure)}" if figure else ""


def _interval(figure: Mapping[str, Any]) -> str:
    if not figure.get("interval"):
        return ""
    low, high = figure["interval"]
    return f" (95 %: {low:.3f} to {high:.3f})"


def _unsure(figure: Mapping[str, Any]) -> str:
    interval = figure.get("interval")
    if interval and interval[0] <= 0 <= interval[1]:
        return " These photos are too few to tell which is better."
    return ""


def _times(faster: float) -> str:
    return f"{faster:.1f} times as fast as" if faster < 10 else f"{faster:.0f} times as fast as"


def _share(result: Mapping[str, Any]) -> str:
    """What auto labels cost, against hand labels of the same images."""
    reference = result.get("reference") or {"share": {}}
    figure = reference["share"].get("ap50")
    if not figure:
        return ""
    bounds = ""
    if figure.get("interval"):
        low, high = figure["interval"]
        bounds = f" (95 %: {low:.1%} to {high:.1%})"
    return (
        f"{reference['of']} reaches {figure['value']:.1%}{bounds} of the AP50 of the same student "
        "trained on hand labels."
    )


def _optimistic(row: Mapping[str, Any]) -> str:
    best = row.get("best_f1")
    if not best:
        return ""
    return (
        f"{row['name']} has its best F1, {best['f1']:.3f}, at score {best['threshold']:.2f}; that "
        "threshold is chosen on these hand labels, so the figure is optimistic."
    )
