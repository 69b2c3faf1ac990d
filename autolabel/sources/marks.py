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
STAGING = ".autolabel-staging"
"""Folder in which an export is built, inside of the dataset's own."""
JOURNAL = "commit.json"
"""File in there: what an export that was killed had begun to move into place."""


def noted_in(folder: Path, names: Iterable[str]) -> set[Path]:
    """Return the files that the notes in a folder say were written.

    Args:
        folder: where the notes lie.
        names: what lies in it.
    """
    names = set(names)
    noted: set[Path] = set()
    notes = [folder / name for name in NOTES & names]
    if STAGING in names:
        notes.append(folder / STAGING / JOURNAL)
    for note in notes:
        try:
            content = read_json(note)
            files = content.get("marker", content)["files"]
            noted.update(folder / PurePosixPath(file) for file in files if isinstance(file, str))
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            continue  # of no use; what it was about is then like any other file
    return noted


def is_workspace(folder: Path, names: Iterable[str]) -> bool:
    """Tell whether a folder is the store of layers that `ingest` makes."""
    names = set(names)
    return {"scan", "images"} <= names and all(
        (folder / name / "manifest.json").is_file() for name in ("scan", "images")
    )
