"""Folders of exported datasets: which files are ours, who may write, and where there are some."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from autolabel.datasets.formats import writers
from autolabel.errors import AutolabelError
from autolabel.reading import parse_json, read_regular
from autolabel.sources import marks
from autolabel.store import FileSet, Workspace

MARKER = marks.EXPORT
STAGING = marks.STAGING
PLACES = "exports.jsonl"
"""One path a line, absolute, or relative to the workspace where it lies in it."""
_LARGEST = 1 << 20


def dataset_files(out: Path) -> FileSet:
    """Return the files of the export in a folder, to stage, publish or ask about."""
    known = writers()  # of whatever format: that which the folder notes of itself may be forged
    return FileSet(
        out,
        MARKER,
        ".autolabel-export.lock",
        "export",
        partial(_is_ours, frozenset(item for writer in known for item in writer.items)),
        heads=tuple(head for writer in known for head in writer.heads),
        caches=tuple(cache for writer in known for cache in writer.caches),
    )


def _is_ours(items: frozenset[str], file: Any) -> bool:
    """Say whether a path is one that an export may have written, and so may remove."""
    if not isinstance(file, str) or set(file) & set("\\:\0"):  # another drive, on Windows
        return False
    top, *below = PurePosixPath(file).parts or ("",)
    return ".." not in below and (f"{top}/" if below else top) in items


def check_free(out: Path, items: Sequence[str], format_name: str) -> None:
    """Refuse what is not a folder, holds another format, or such items that no export wrote.

    Args:
        out: the dataset's folder, which need not exist.
        items: the names at its top that the export will write, those of folders with a slash.
        format_name: of the export.

    Raises:
        AutolabelError: it is or does.
    """
    if out.exists() and not out.is_dir():
        raise AutolabelError(f"{out} is not a folder", hint="name another one with --out")
    files = dataset_files(out)
    marker = files.noted()
    if marker is not None and marker.get("format") != format_name:
        raise AutolabelError(
            f"{out} holds an export in {marker.get('format')} format",
            hint="name another folder with --out, or delete that one first",
        )
    for item in items:
        path = out / item
        alien = marker is None and path.exists() and not (path.is_dir() and not any(path.iterdir()))
        if alien or path.is_symlink():
            raise files.foreign(path)


def note_export(workspace: Workspace, out: Path) -> None:
    """Remember a dataset's folder; a workspace that cannot be written forgets it."""
    place, home = out.resolve(), workspace.path.resolve()
    named = str(place.relative_to(home) if place.is_relative_to(home) else place)
    if named not in _named(workspace):
        line = f"{json.dumps(named)}\n".encode()
        with suppress(OSError), open(workspace.path / PLACES, "ab", opener=_unlinked) as file:
            file.write(line)


def exports_of(workspace: Workspace) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the folder of each export that is still there, and what it notes of itself.

    `whole` is added to the note: whether every file of it is there.
    """
    within = (path.parent for path in sorted(workspace.path.glob(f"export/*/{MARKER}")))
    noted = (workspace.path / name for name in _named(workspace))
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


def _named(workspace: Workspace) -> list[str]:
    try:
        lines = read_regular(workspace.path / PLACES, _LARGEST).decode("utf-8").splitlines()
        names = [parse_json(line) for line in lines]
    except (OSError, ValueError):
        return []
    return [name for name in names if isinstance(name, str)]
