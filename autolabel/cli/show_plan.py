"""What a run would do, as a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autolabel.cli import show

if TYPE_CHECKING:
    from autolabel.pipeline.plan import Planned


def planned(steps: Sequence[Planned], as_json: bool) -> None:
    """Show each step, on how many images, and why."""
    if as_json:
        show.data([asdict(step) for step in steps])
        return
    rows = Table(title="would be done", title_justify="left")
    for name in ("step", "images", "why"):
        rows.add_column(name, justify="right" if name == "images" else "left", overflow="fold")
    for step in steps:
        images = "" if step.images is None else "–" if step.idle else str(step.images)
        rows.add_row(escape(step.step), images, escape(step.reason))
    show.table(rows)
    show.message("nothing was written")
