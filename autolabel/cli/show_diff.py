"""What is different between two sets of labels, as people see it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from autolabel.cli.screen import data, message, one_line, table

if TYPE_CHECKING:
    from autolabel.corrections.diff import LabelDiff

_MOST = 20
"""Images that the table names."""


def difference(found: LabelDiff, about: dict[str, Any], as_json: bool) -> None:
    """Show counts by class and by image, and what could not be compared."""
    from autolabel.corrections.diff import KINDS

    if as_json:
        data({**about, **found.as_json()})
        return
    classes = _table("class", *KINDS)
    for name, counts in sorted(found.classes.items()):
        classes.add_row(escape(name), *(str(counts[kind]) for kind in KINDS))
    table(classes)
    if found.changed:
        changed = sorted(found.changed, key=lambda one: -one.changes)
        images = _table("image", *KINDS)
        for one in changed[:_MOST]:
            images.add_row(
                escape(one_line(one.record.uri)),
                *(str(len(getattr(one.matches, kind))) for kind in KINDS),
            )
        table(images)
    for (old, new), count in found.relabelled.most_common():
        message(f"relabelled: {count} from {old} to {new}")
    _sum_up(found, about)


def _sum_up(found: LabelDiff, about: dict[str, Any]) -> None:
    a, b = about["a"], about["b"]
    more = f"; the table names {_MOST}" if len(found.changed) > _MOST else ""
    message(f"diff: {len(found.changed)} of {found.images} images differ from {a} to {b}{more}")
    if found.only_in_a:
        message(f"{len(found.only_in_a)} images of {a} are not in {b}, and are not compared")
    if found.only_in_b:
        message(f"{len(found.only_in_b)} images of {b} are not compared:")
    for name, why in found.only_in_b[:_MOST]:
        message(f"  {one_line(name)}: {one_line(why)}")
    if len(found.only_in_b) > _MOST:
        message(f"  and {len(found.only_in_b) - _MOST} more; --json names all")
    if about["pictures"]:
        message(f"{len(about['pictures'])} pictures -> {about['out']}")


def _table(first: str, *rest: str) -> Table:
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    shown.add_column(first, overflow="fold")
    for title in rest:
        shown.add_column(title, justify="right", no_wrap=True)
    return shown
