"""Through the folders that a source names, past what autolabel itself wrote there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.ops.images import IMAGE_SUFFIXES
from autolabel.sources.marks import NOTES, is_workspace, noted_in


class Walk:
    """Through folders, with an eye on what autolabel wrote there.

    Args:
        leave_ours: see `find_images`.

    Attributes:
        noted: files that notes on the way say autolabel wrote.
        stored: images in workspaces on the way, which are not walked through.
    """

    def __init__(self, leave_ours: bool) -> None:
        self.leave_ours = leave_ours
        self.noted: set[Path] = set()
        self.stored: set[Path] = set()

    def beside(self, file: Path) -> None:
        """Read the notes in the folder of a file."""
        if self.leave_ours:
            names = [name for name in NOTES if (file.parent / name).is_file()]
            self.noted |= noted_in(file.parent, names)

    def below(self, folder: Path) -> Iterator[Path]:
        """Yield every visible file; folders behind links last, so that files keep real paths."""
        seen: set[tuple[int, int]] = set()
        pending, linked = [folder], list[Path]()
        while pending or linked:
            here = pending.pop() if pending else linked.pop(0)
            entries = _entries(here, seen)
            if self.leave_ours and entries:
                names = [entry.name for entry in entries]
                self.noted |= noted_in(here, names)
                if here != folder and is_workspace(here, names):
                    files = Walk(leave_ours=False).below(here)
                    self.stored |= {f for f in files if f.suffix.lower() in IMAGE_SUFFIXES}
                    continue
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if not _leads_to_folder(entry):
                    yield here / entry.name
                else:
                    (linked if entry.is_symlink() else pending).append(here / entry.name)


def _entries(folder: Path, seen: set[tuple[int, int]]) -> list[os.DirEntry[str]]:
    """Return what lies in a folder, by name; nothing where it was seen before."""
    try:
        status = folder.stat()
        if (status.st_dev, status.st_ino) in seen:
            return []
        seen.add((status.st_dev, status.st_ino))
        with os.scandir(folder) as scan:
            return sorted(scan, key=lambda entry: entry.name)
    except OSError as e:
        raise unreadable("folder", folder, e) from e


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself: kept, and reported when it is read
        return False


def shown(path: str | Path) -> str:
    """Return for a message one line of text that any terminal takes."""
    text = os.fsencode(path).decode("utf-8", "replace")
    return "".join(c if c.isprintable() else "?" for c in text)


def unreadable(what: str, path: Path, error: OSError) -> AutolabelError:
    """Return the error for a folder or list that cannot be read."""
    return AutolabelError(
        f"cannot read the {what} {shown(path)}: {error.strerror}",
        hint=f"make the {what} readable, or leave it out",
    )
