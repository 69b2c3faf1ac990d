"""The folder of an exported dataset: which files in it are ours, and when it may be written."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from autolabel.datasets.formats import writers
from autolabel.errors import AutolabelError
from autolabel.sources import marks
from autolabel.store import FileSet

MARKER = marks.EXPORT
STAGING = marks.STAGING


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
