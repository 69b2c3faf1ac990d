"""Notes that autolabel leaves of the files that it writes, so that it never takes them in as new.

A note lies beside what it is about: a JSON file whose ``files`` are paths relative to its folder.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from autolabel.reading import read_json

EXPORT = ".autolabel-export.json"
PREVIEW = ".autolabel-preview.json"
NOTES = frozenset({EXPORT, PREVIEW})


def noted_in(folder: Path, names: Iterable[str]) -> set[Path]:
    """The files that the notes in a folder say were written.

    Args:
        folder: where the notes lie.
        names: what lies in it.
    """
    noted: set[Path] = set()
    for name in NOTES & set(names):
        try:
            files = read_json(folder / name)["files"]
            noted.update(folder / PurePosixPath(file) for file in files if isinstance(file, str))
        except (OSError, ValueError, TypeError, KeyError):
            continue  # of no use; what it was about is then like any other file
    return noted


def is_workspace(folder: Path, names: Iterable[str]) -> bool:
    """Whether a folder is the store of layers that `ingest` makes."""
    names = set(names)
    return {"scan", "images"} <= names and all(
        (folder / name / "manifest.json").is_file() for name in ("scan", "images")
    )
