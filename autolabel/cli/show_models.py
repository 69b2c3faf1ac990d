"""The catalogue of models as people see it."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from rich.markup import escape
from rich.table import Table

from autolabel.cli.screen import data, message, table

OWN = "autolabel"
TAKEN_BY = {
    "detector": "detect --model",
    "segmenter": "refine --model",
    "image-text": "filter --clip",
    "image": "filter --dinov2",
}


def models(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show the registered models, a table for each task; narrow enough for 80 columns."""
    if as_json:
        data(rows)
        return
    for task, of_task in groupby(sorted(rows, key=lambda row: _place(row["task"])), _task):
        shown = Table(
            title=f"{task}: {TAKEN_BY.get(task, '')}", title_justify="left", box=None,
            pad_edge=False, padding=(0, 1, 0, 0),
        )  # fmt: skip
        shown.add_column("name", overflow="fold")
        shown.add_column("M params", justify="right", no_wrap=True)
        shown.add_column("licence", overflow="fold")
        shown.add_column("hub id, and what is on disk", overflow="fold")
        for row in of_task:
            shown.add_row(*map(escape, _cells(row)))
        table(shown)
    message("--model also takes a hub id (owner/name), a local folder or an original file")
    message("autolabel models pull NAME... fetches ahead of time")


def _cells(row: dict[str, Any]) -> tuple[str, str, str, str]:
    millions = row["parameters_millions"]
    name = row["name"] if row["source"] == OWN else f"{row['name']}\n(by {row['source']})"
    licence = (row["licence"] or "?") + ("\n(gated)" if row["gated"] else "")
    here = (
        f"\n{row['size_bytes'] / 1e6:.1f} MB, commit {row['revision'][:7]}"
        if row["on_disk"]
        else ""
    )
    return name, "?" if millions is None else f"{millions:g}", licence, row["hub_id"] + here


def _task(row: dict[str, Any]) -> str:
    return str(row["task"])


def _place(task: str) -> int:
    return list(TAKEN_BY).index(task)
