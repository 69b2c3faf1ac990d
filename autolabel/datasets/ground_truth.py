"""Hand labels from disk, in any format that people have them in.

Labels are read as they are written, and nothing outside the dataset's folder is opened, whatever
path a file gives. What autolabel wrote is not a hand label: measured against it, autolabel would be
right all the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.datasets.base import Candidate, Reader
from autolabel.datasets.files import absolute, ends, is_there
from autolabel.datasets.formats import FORMATS, readers
from autolabel.datasets.labelled import GroundTruthImage
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.reading import read_json
from autolabel.sources import marks
from autolabel.types import Objects

__all__ = ["GroundTruth", "GroundTruthImage", "read_ground_truth", "read_hand_labels"]

_DEEPEST = 4
"""Folders that labels may lie below the note of an export."""


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Hand labels: the classes that people looked for, and the images that they looked at.

    Attributes:
        names: classes in the order of their ids.
        records: the images, none twice.
        path: what was named.
        source: the file, or folder of files, that they were read from.
        repeated: how many more times images were listed; see `read_ground_truth`.
        skipped: what was found and could not be read: how many objects, by what in words.
    """

    names: tuple[str, ...]
    records: tuple[GroundTruthImage, ...]
    path: Path
    source: Path
    repeated: int = 0
    skipped: Mapping[str, int] = field(default_factory=dict)

    @property
    def skipped_in_words(self) -> str:
        """What could not be read, as ``3 polylines, 1 ellipses``; empty where all was."""
        return ", ".join(f"{count} {what}" for what, count in sorted(self.skipped.items()))


def read_hand_labels(path: Path) -> GroundTruth:
    """Read labels that people drew; an export of autolabel is refused, also moved or copied.

    Raises:
        AutolabelError: as `read_ground_truth`, or autolabel wrote these labels.
    """
    candidate = _candidate(path)
    truth = _read(candidate, path)
    evidence = _note(candidate) or _signed(candidate)
    if evidence is not None:
        raise AutolabelError(
            f"the labels in {path} were exported by autolabel, and are not hand labels; {evidence} "
            "says so",
            hint="name labels that people drew; where people have gone over these one by one, "
            f"remove {evidence} to say so",
        )
    return truth


def read_ground_truth(path: Path, format_name: str | None = None) -> GroundTruth:
    """Read labels, in any of `FORMATS` or in the one that is named.

    `path` is one of

    - a COCO JSON file, or a folder with just one (in itself, in ``annotations/``, or as
      ``_annotations.coco.json`` in a folder of it);
    - a YOLO ``data.yaml``, of which the first of the splits val, test and train is read;
    - a folder with a ``data.yaml``, of which all splits are read, or with ``classes.txt`` and
      ``images/`` + ``labels/`` (or images and labels side by side). An image without a label file
      is background, as it is for trainers;
    - a folder of VOC ``.xml`` files, or one with such a folder (``Annotations/``) and its images
      in ``JPEGImages/`` or ``images/`` beside it;
    - what an installed plugin reads.

    An image that is listed more than once counts once, with the labels of all its entries, equal
    ones once.

    Raises:
        AutolabelError: none of these, more than one of these, or something in it is wrong.
        UsageError: no such format is read.
    """
    return _read(_candidate(path, format_name), path)


def _readers(format_name: str | None) -> tuple[Reader, ...]:
    if format_name is None:
        return readers()
    reader = FORMATS[format_name].reader if format_name in FORMATS else None
    if reader is None:
        known = [name for name, one in FORMATS.items() if one.reader]
        raise UsageError(
            f"--format {format_name!r} is not a format that is read",
            hint=suggest(format_name, known, "those are"),
        )
    return (reader,)


def _candidate(path: Path, format_name: str | None = None) -> Candidate:
    """Return the one way to read what `path` names."""
    if not is_there(path):
        raise AutolabelError(f"no such file or folder: {path}", hint=_looks())
    suffix, folder = path.suffix.lower(), path.is_dir()
    asked = [one for one in _readers(format_name) if folder or suffix in one.suffixes]
    found = [candidate for reader in asked for candidate in reader.find(path)]
    sure = {one.files or (one.source,): one for one in reversed(found) if one.sure}
    chosen = list(reversed(sure.values())) or found[:1]
    if not chosen:
        raise AutolabelError(f"no hand labels found in {path}", hint=_looks())
    if len(chosen) > 1:
        listed = ", ".join(str(one.source) for one in chosen[:5]) + "…" * (len(chosen) > 5)
        raise AutolabelError(
            f"{path} holds more than one set of labels: {listed}", hint="name the one to use"
        )
    return chosen[0]


def _looks() -> str:
    *others, last = (reader.looks for reader in readers())
    return f"it may be {'; '.join(others)}; or {last}"


def _read(candidate: Candidate, path: Path) -> GroundTruth:
    names, images = candidate.read()
    if not images:
        raise AutolabelError(f"the hand labels in {path} name no image", hint=_looks())
    once = _once(images)
    repeated, skipped = len(images) - len(once), {k: n for k, n in candidate.skipped.items() if n}
    return GroundTruth(names, once, path, candidate.source, repeated, skipped)


def _once(images: Sequence[GroundTruthImage]) -> tuple[GroundTruthImage, ...]:
    """Return each image once, in the order of their first entries."""
    entries: dict[Path | str, list[GroundTruthImage]] = {}
    for image in images:
        entries.setdefault(image.path or image.name, []).append(image)
    return tuple(_merged(same) for same in entries.values())


def _merged(entries: Sequence[GroundTruthImage]) -> GroundTruthImage:
    """Return one entry with the labels of all."""
    if len(entries) == 1:
        return entries[0]
    rows: dict[tuple[Any, ...], tuple[GroundTruthImage, int]] = {}
    for entry in entries:
        for i, (label, box) in enumerate(
            zip(entry.objects.label, entry.objects.xyxy.tolist(), strict=True)
        ):
            rows.setdefault((label, *box, entry.objects.mask[i]), (entry, i))
    picked = [(entry.objects, i) for entry, i in rows.values()]
    objects = Objects.create(
        [o.label[i] for o, i in picked],
        [o.score[i] for o, i in picked],
        [o.xyxy[i] for o, i in picked],
        mask=[o.mask[i] for o, i in picked],
        correction=[o.correction[i] for o, i in picked],
    )
    return replace(
        entries[0], objects=objects, ignore=np.array([e.ignore[i] for e, i in rows.values()], bool)
    )


def _note(candidate: Candidate) -> str | None:
    """Return the note of an export that wrote these labels."""
    source = absolute(candidate.source)
    parts = [absolute(file) for file in candidate.files]
    for folder in [source, *source.parents[:_DEEPEST]]:
        try:
            files = read_json(folder / marks.EXPORT)["files"]
        except (OSError, ValueError, KeyError, TypeError):
            continue
        listed = [f for f in files if isinstance(f, str)] if isinstance(files, list) else []
        # What lists the classes may be written anew beside labels that are ours.
        places = [source, *([absolute(candidate.labels)] if candidate.labels else [])]
        below = [p.relative_to(folder).as_posix() for p in places if p.is_relative_to(folder)]
        read = {p.relative_to(folder).as_posix() for p in parts if p.is_relative_to(folder)}
        if not read.isdisjoint(listed) or any(
            file == place or file.startswith(f"{place}/") for place in below for file in listed
        ):
            return str(folder / marks.EXPORT)
    return None


def _signed(candidate: Candidate) -> str | None:
    """Return what in the files themselves says that autolabel wrote them."""
    signatures = [one.writer.signature for one in FORMATS.values() if one.writer]
    for file in candidate.files or (candidate.source,):
        if not file.is_file():
            continue
        _, *both = ends(file)
        for signature in signatures:
            if signature and any(signature.pattern.search(end) for end in both):
                return signature.where.format(file.name)
    return None
