"""The formats of datasets as people see them."""

from __future__ import annotations

from dataclasses import asdict, fields
from typing import Any

from rich.markup import escape
from rich.table import Table

from autolabel.cli.screen import data, message, table
from autolabel.datasets.base import Carries
from autolabel.datasets.formats import FORMATS
from autolabel.plugins import BUILT_IN

CARRIED = tuple(one.name for one in fields(Carries))
_WAYS = ("read", "written")


def formats_known() -> list[dict[str, Any]]:
    """List every format: what it is, and what is read of it and written in it."""
    return [
        {
            "name": name,
            "title": one.title,
            "source": FORMATS.source(name),
            "read": {"boxes": True, **asdict(one.reader.carries)} if one.reader else None,
            "written": {"boxes": True, **asdict(one.writer.carries)} if one.writer else None,
            "looks": one.reader.looks if one.reader else None,
            "files": list(one.writer.items) if one.writer else None,
        }
        for name, one in FORMATS.items()
    ]


def formats(rows: list[dict[str, Any]], as_json: bool) -> None:
    """Show the formats, narrow enough for 80 columns."""
    if as_json:
        data(rows)
        return
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in ("format", *_WAYS, "boxes", *CARRIED):
        shown.add_column(name.replace("_", " "), overflow="fold")
    for row in rows:
        name = row["name"] if row["source"] == BUILT_IN else f"{row['name']} (by {row['source']})"
        ways = ("yes" if row[way] else "no" for way in _WAYS)
        cells = (_cell(row, carried) for carried in ("boxes", *CARRIED))
        shown.add_row(escape(name), *ways, *cells)
    table(shown)
    message("what a format does not carry is counted and said at export")


def _cell(row: dict[str, Any], carried: str) -> str:
    """Return whether it is carried, or in which direction alone."""
    ways = [way for way in _WAYS if row[way]]
    where = [way for way in ways if row[way][carried]]
    if len(where) == len(ways):
        return "yes"
    return f"{where[0]} only" if where else "no"
