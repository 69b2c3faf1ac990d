"""Where a workspace was exported to, so that it can be told which exports are out of date."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from autolabel.datasets.folder import MARKER, dataset_files
from autolabel.errors import AutolabelError
from autolabel.reading import parse_json, read_regular
from autolabel.store import Workspace

PLACES = "exports.jsonl"
"""One path a line, absolute, or relative to the workspace where it lies in it."""
_LARGEST = 1 << 20


def note_export(workspace: Workspace, out: Path) -> None:
    """Remember a dataset's folder; a workspace that cannot be written forgets it."""
    place, home = out.resolve(), workspace.path.resolve()
    named = str(place.relative_to(home) if place.is_relative_to(home) else place)
    if named not in _noted(workspace):
        line = f"{json.dumps(named)}\n".encode()
        with suppress(OSError), open(workspace.path / PLACES, "ab", opener=_unlinked) as file:
            file.write(line)


def exports_of(workspace: Workspace) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folder of each export that is still there, and what it notes of itself.

    `whole` is added to the note: whether every file of it is there.
    """
    within = (path.parent for path in sorted(workspace.path.glob(f"export/*/{MARKER}")))
    noted = (workspace.path / name for name in _noted(workspace))
    for out in {path.resolve(): path for path in (*within, *noted)}.values():
        files = dataset_files(out)
        try:
            marker = files.noted()
        except AutolabelError:
            continue
        if marker is not None:
            yield out, {**marker, "whole": bool(files.whole_note())}


def _unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _noted(workspace: Workspace) -> list[str]:
    try:
        lines = read_regular(workspace.path / PLACES, _LARGEST).decode("utf-8").splitlines()
        names = [parse_json(line) for line in lines]
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)]
