"""What people said about labels: files of JSON lines that only grow.

Everything else about corrections (layers, the review page, imports) is made from these files, so
nothing that people said is lost when a layer is deleted or made anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any
from uuid import uuid4

from filelock import FileLock
from pydantic import TypeAdapter, ValidationError

from autolabel.errors import AutolabelError
from autolabel.reading import read_regular
from autolabel.store.files import not_writable, sync_folder, write_atomic
from autolabel.types import ACTIONS

FOLDER = "decisions"
"""Folder of a workspace that holds the files."""
MISSING, COMPLETE, SKIPPED, UNDONE = "missing", "complete", "skipped", "undone"
"""Actions beside those of `autolabel.types.Correction`: something in this image has no label;
nothing (more) in it lacks one; no decision was made; an earlier decision is taken back."""
FAR = 1e7
"""Pixels; no corner lies farther off."""

_LARGEST = 2**31
_REVIEW = "review.jsonl"
_IMPORT = re.compile(r"import-(\d{4,9})\.jsonl")


def now() -> str:
    """Return the time in UTC, ISO 8601 with microseconds; later ones compare as greater."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What one person said about one object, or about a whole image.

    Attributes:
        image_id: of the image.
        action: `drawn`, `moved`, `relabelled`, `confirmed`, `deleted`; or `missing` (something is
            not labelled here), `complete` (nothing more is), `skipped`, `undone`.
        via: `review`, `import` or `label-studio`.
        label, xyxy, mask: the object as it is now, and for `deleted` as it was: its class, its
            box in pixels of the upright image, its mask as compressed COCO RLE or None.
        was: the object that was judged, as the layer had it: `label` and `xyxy`.
        undoes: `id` of the decision that `undone` takes back.
        who, when: the person, and when in their tool (ISO 8601), where that is known.
        layer, fingerprint: the labels that the person was shown.
        seconds: how long the person looked.
        audit: name of the blind sample that this belongs to.
        id: of the decision; the same one is never counted twice.
        at: when it was recorded, ISO 8601 in UTC; decisions count in this order.

    Raises:
        ValueError: something is missing or out of range.
    """

    image_id: str
    action: str
    via: str
    label: str | None = None
    xyxy: tuple[float, float, float, float] | None = None
    mask: str | None = None
    was: dict[str, Any] | None = None
    undoes: str | None = None
    who: str | None = None
    when: str | None = None
    layer: str | None = None
    fingerprint: str | None = None
    seconds: float | None = None
    audit: str | None = None
    id: str = field(default_factory=lambda: uuid4().hex)
    at: str = field(default_factory=now)

    def __post_init__(self) -> None:
        if self.action not in (*ACTIONS, MISSING, COMPLETE, SKIPPED, UNDONE):
            raise ValueError(f"{self.action[:80]!r} is not an action")
        if self.action in ACTIONS:
            _check_object(self.label, self.xyxy)
        if self.action == UNDONE and not self.undoes:
            raise ValueError("it does not say what is undone")
        if self.was is not None:
            _check_object(self.was.get("label"), self.was.get("xyxy"))
        if not self.id or not self.at:
            raise ValueError("it has no id or time")


def _check_object(label: object, xyxy: object) -> None:
    if not isinstance(label, str) or not label:
        raise ValueError("the object has no class")
    if not isinstance(xyxy, list | tuple) or len(xyxy) != 4:
        raise ValueError("the object has no box of four numbers")
    if not all(isinstance(v, int | float) and isfinite(v) and abs(v) < FAR for v in xyxy):
        raise ValueError("a corner of the box is not a number of pixels")
    if not (xyxy[0] <= xyxy[2] and xyxy[1] <= xyxy[3]):
        raise ValueError("the corners of the box are not in order")


@cache
def _adapter() -> TypeAdapter[Decision]:
    return TypeAdapter(Decision)


class Decisions:
    """The decisions of a workspace.

    Args:
        workspace: its folder, which need not hold any.
    """

    def __init__(self, workspace: Path) -> None:
        self.path = workspace / FOLDER

    def append(self, *decisions: Decision) -> None:
        """Add decisions; they are on disk when this returns. A kill may leave the first of several.

        Raises:
            AutolabelError: it cannot be written.
        """
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock"):
                _append(self.path / _REVIEW, "".join(map(line_of, decisions)))
        except OSError as e:
            raise not_writable(self.path, e) from e

    def add_import(self, decisions: Sequence[Decision]) -> Path | None:
        """Add many decisions: all of them, or after a kill none; return their file, if any.

        Raises:
            AutolabelError: they cannot be written.
        """
        if not decisions:
            return None
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            with FileLock(self.path / ".lock"):
                taken = [int(m[1]) for p in self.path.iterdir() if (m := _IMPORT.fullmatch(p.name))]
                file = self.path / f"import-{max(taken, default=0) + 1:04d}.jsonl"
                write_atomic(file, "".join(map(line_of, decisions)).encode())
                sync_folder(self.path.parent)
        except OSError as e:
            raise not_writable(self.path, e) from e
        return file

    def read(self) -> list[Decision]:
        """Return the decisions in their order, each once; those that were undone are among them.

        What a kill left of a line that was being written is passed over.

        Raises:
            AutolabelError: a file cannot be read, or a line is not a decision.
        """
        found: dict[str, Decision] = {}
        for file in self._files():
            *lines, _torn = _bytes_of(file).split(b"\n")
            for number, line in enumerate(lines, 1):
                if line.strip(b"\0 \r"):
                    decision = _parsed(line, file, number)
                    found.setdefault(decision.id, decision)
        return sorted(found.values(), key=lambda d: d.at)

    def digest(self) -> str:
        """Return a hash of all that people said, empty where nobody said anything.

        Raises:
            AutolabelError: a file cannot be read.
        """
        files = self._files()
        sha = hashlib.sha256()
        for file in files:
            sha.update(f"{file.name}\n".encode() + _bytes_of(file))
        return sha.hexdigest() if files else ""

    def _files(self) -> list[Path]:
        if not self.path.is_dir():
            return []
        return sorted(p for p in self.path.glob("*.jsonl") if not p.name.startswith("."))


def _append(file: Path, line: str) -> None:
    new = not file.exists()
    with file.open("ab+") as stream:
        if stream.tell():
            stream.seek(-1, os.SEEK_END)
            if stream.read(1) != b"\n":  # a kill cut the line before, which nobody was told of
                _cut_torn(stream)
        stream.write(line.encode())
        stream.flush()
        os.fsync(stream.fileno())
    if new:
        sync_folder(file.parent)
        sync_folder(file.parent.parent)


def _cut_torn(stream: Any) -> None:
    stream.seek(0)
    stream.truncate(stream.read().rfind(b"\n") + 1)
    stream.seek(0, os.SEEK_END)


def line_of(decision: Decision) -> str:
    """Return a decision as the line that it is in a file."""
    said = {key: value for key, value in asdict(decision).items() if value is not None}
    return json.dumps(said, ensure_ascii=True) + "\n"


def _bytes_of(file: Path) -> bytes:
    try:
        return read_regular(file, _LARGEST)
    except OSError as e:
        raise AutolabelError(
            f"{file} cannot be read: {e.strerror}", hint="make it readable: people's work is in it"
        ) from e


def _parsed(line: bytes, file: Path, number: int) -> Decision:
    try:
        return _adapter().validate_json(line)
    except ValidationError as e:
        first = e.errors(include_url=False, include_input=False, include_context=False)[0]
        raise AutolabelError(
            f"{file}, line {number} is not a decision: {first['msg'][:200]}",
            hint="something else has changed the file: take it from a backup, or remove that line",
        ) from None
