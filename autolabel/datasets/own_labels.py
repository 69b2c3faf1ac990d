"""Whether labels are autolabel's own: measured against them, it would be right all the time."""

from __future__ import annotations

import re
from pathlib import Path

from autolabel.datasets.hand_labelled import absolute
from autolabel.errors import AutolabelError
from autolabel.reading import open_regular, read_json

MARKER = ".autolabel-export.json"
"""What `autolabel.datasets.export` leaves in a dataset's folder, with the files that it wrote."""

_DEEPEST = 4
"""Folders that a file of labels may lie below the marker."""
_ENDS = 65_536
"""Bytes at both ends of a file of labels that are searched."""
_COCO = re.compile(rb'"description"\s*:\s*"labelled by autolabel')
_YOLO = re.compile(rb"\A(\xef\xbb\xbf)?# written by autolabel")


def refuse_own_export(source: Path, path: Path) -> None:
    """See that labels were not exported by autolabel, also where they were moved or copied.

    Args:
        source: the file, or folder of files, that the labels are in.
        path: what was given.

    Raises:
        AutolabelError: they were.
    """
    evidence = _marker(absolute(source)) or _signed(source)
    if evidence is not None:
        raise AutolabelError(
            f"the labels in {path} were exported by autolabel, and are no hand labels; {evidence} "
            "says so",
            hint="name labels that people drew; where people have gone over these one by one, "
            f"remove {evidence} to say so",
        )


def _marker(source: Path) -> str | None:
    """The note of an export that wrote these labels."""
    for folder in [source, *source.parents[:_DEEPEST]]:
        try:
            files = read_json(folder / MARKER)["files"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        inside = source.relative_to(folder).as_posix()
        names = [file for file in files if isinstance(file, str)] if isinstance(files, list) else []
        written = inside in names or any(file.startswith(f"{inside}/") for file in names)
        # What lists the classes of YOLO labels may be written anew beside them.
        listed = source.suffix in (".txt", ".yaml", ".yml") and folder == source.parent
        if written or (listed and any(file.startswith("labels/") for file in names)):
            return str(folder / MARKER)
    return None


def _signed(source: Path) -> str | None:
    """What in the file itself says that autolabel wrote it."""
    if not source.is_file():
        return None
    with open_regular(source) as file:
        head = file.read(_ENDS)
        file.seek(max(source.stat().st_size - _ENDS, 0))
        tail = file.read(_ENDS)
    if _YOLO.search(head):
        return f"the first line of {source.name}"
    if _COCO.search(head) or _COCO.search(tail):
        return f'"info" in {source.name}'
    return None
