"""How a workspace looks: its layers, photos, classes, students and exports."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from autolabel.cli.screen import data, message, one_line, table
from autolabel.cli.show import SPLITS

PHOTOS = {"pool": "in the pool", **SPLITS}


def status(state: dict[str, Any], as_json: bool) -> None:
    """Show what a workspace holds, narrow enough for 80 columns."""
    if as_json:
        data(state)
        return
    table(_layers(state))
    table(_photos(state))
    if state["classes"]:
        table(_classes(state))
    if state["corrections"]:
        said = ", ".join(f"{n} {action}" for action, n in state["corrections"].items())
        table(f"objects that people locked: {said}")
    if state["students"]:
        table(_students(state["students"]))
    if state["exports"]:
        table(_exports(state["exports"]))
    if "errors" in state:
        for layer, failed in state["errors"].items():
            table(_errors(layer, failed))
        if not state["errors"]:
            message("no file failed")


def _layers(state: dict[str, Any]) -> Table:
    rows = Table(title=escape(state["workspace"]), title_justify="left")
    for name in ("layer", "shards", "images", "objects", "kept", "errors", "state"):
        rows.add_column(name, justify="left" if name in ("layer", "state") else "right")
    for name, layer in state["layers"].items():
        figures = [str(layer[k]) for k in ("shards", "images", "objects", "kept", "errors")]
        rows.add_row(escape(name), *figures, _standing(layer))
    return rows


def _standing(layer: dict[str, Any]) -> str:
    parts = []
    if layer["missing_shards"]:
        parts.append(f"unfinished: {layer['missing_shards']} shards to do")
    if layer["stale_shards"]:
        parts.append(f"stale: {layer['stale_shards']} shards")
    return ", ".join(parts) or "complete"


def _photos(state: dict[str, Any]) -> str:
    parts = [f"{n} {PHOTOS.get(name, name)}" for name, n in state["photos"].items()]
    failed = state["layers"].get("images", {}).get("errors", 0)
    if failed:
        listed = "" if "errors" in state else ", which --errors names"
        parts.append(f"{failed} of them failed{listed}")
    return f"photos: {', '.join(parts) or 'none'}"


def _classes(state: dict[str, Any]) -> Table:
    rows = _plain(f"labels of {state['labels']}/", "class", "kept", "rejected")
    for name, counts in state["classes"].items():
        rows.add_row(escape(one_line(name)), str(counts["kept"]), str(counts["rejected"]))
    return rows


def _students(students: list[dict[str, Any]]) -> Table:
    rows = _plain("students", "", "epochs", "labels", "state")
    for one in students:
        epochs = f"{one['epochs_done']} of {one['epochs']}"
        cells = (one["name"], epochs, f"{one['layer']}/", one["state"])
        rows.add_row(*(escape(one_line(cell)) for cell in cells))
    return rows


def _exports(exports: list[dict[str, Any]]) -> Table:
    rows = _plain("exports", "", "format", "images", "objects", "labels", "state")
    for one in exports:
        splits = ", ".join(f"{n} {split}" for split, n in one["splits"].items())
        images = splits if len(one["splits"]) > 1 else one["images"]
        cells = (one["out"], one["format"], images, one["objects"], f"{one['layer']}/")
        rows.add_row(*(escape(one_line(str(cell))) for cell in (*cells, one["state"])))
    return rows


def _errors(layer: str, failed: list[dict[str, str]]) -> Table:
    rows = _plain(f"failed in {layer}/", "file", "reason")
    rows.columns[1].justify = "left"
    for one in failed:
        rows.add_row(escape(one_line(one["file"])), escape(one_line(one["reason"])))
    return rows


def _plain(title: str, first: str, *others: str) -> Table:
    shown = Table(
        title=escape(f"\n{title}"), title_justify="left", header_style="bold underline",
        box=None, padding=(0, 2, 0, 0), pad_edge=False,
    )  # fmt: skip
    shown.add_column(first, overflow="fold")
    for name in others:
        shown.add_column(name, justify="right" if name != "state" else "left", overflow="fold")
    return shown
