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
    lines.append(_share(result))
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
        line += f", and {_times(faster)} the teacher"
    return f"{line}.{_unsure(figure)}"


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
