"""What an export wrote, and what is not in it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ExportResult:
    """What an export wrote.

    Attributes:
        out: the dataset's folder.
        images, objects: how many.
        splits: images by split.
        skipped: images that are not in it, by reason.
        problems: a line for each image that is missing, unreadable or has changed.
        empty_boxes: kept objects that have no area inside the image, and so are not in it.
        task: ``detect`` or ``segment``.
        reason: why, in words that follow "task: segment,".
        lost: what of the labels the format or task does not hold: how many objects, by what.
        rewritten: images that were written anew, because not every trainer reads them as they are.
        classes: names in the order of their ids 0, 1, 2, …
        unused: those of them without an object, which keep their ids.
        renumbered: class -> its id before classes were merged or dropped, where that was another.
    """

    out: Path
    images: int
    objects: int
    splits: dict[str, int]
    skipped: dict[str, int]
    problems: tuple[str, ...]
    empty_boxes: int
    task: str
    reason: str
    lost: dict[str, int]
    rewritten: int
    classes: tuple[str, ...]
    unused: tuple[str, ...]
    renumbered: dict[str, int]
