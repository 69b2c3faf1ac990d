"""Which photos of a workspace are new, replaced, gone or back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from autolabel import reading
from autolabel.ops.images import ImageError, content_id, read_bytes
from autolabel.sources import from_uri, to_uri
from autolabel.store import Layer, write_atomic
from autolabel.types import GONE, POOL, Record

STAMPS = "stamps.json"
"""Size and times of each file when its bytes were last known, beside the shards of `scan`."""

_NEVER = 0.0
_MISSING, _REPLACED = "the file is gone", "the file has other bytes now"


class KnownPhotos:
    """The photos that `scan` knows.

    A file is read again only where its size or one of its times is not what it was when its bytes
    were last known, so that looking at a folder where nothing changed costs a `stat` for each file.

    Args:
        layer: the layer `scan`, which need not exist.
        root: folder that its uris are relative to.
    """

    def __init__(self, layer: Layer, root: Path) -> None:
        self.root = root
        self.known: dict[str, tuple[float, set[str]]] = {}
        """uri -> when it was last scanned (seconds) and the ids that it had"""
        self._stamps: dict[str, Any] = {}
        self._looked: dict[str, str] = {}
        if layer.exists:
            self._read(layer)

    def _read(self, layer: Layer) -> None:
        for index in layer.shards():
            when = layer.shard_path(index).stat().st_mtime
            table = layer.table(index, ["uri", "image_id", "error", "split"])
            rows = table.to_pydict()
            for uri, image_id, error, split in zip(*rows.values(), strict=True):
                ids = self.known.get(uri, (_NEVER, set()))[1]
                # What failed or went is looked at again whatever its date: it may be back by now.
                again = error is not None or split == GONE
                self.known[uri] = (_NEVER if again else when, ids | {image_id})
        try:
            stamps = reading.read_json(layer.path / STAMPS)
        except (OSError, ValueError):
            return
        self._stamps = stamps if isinstance(stamps, dict) else {}

    def is_new(self, path: Path) -> bool:
        """Say whether a file is unknown, or has bytes that its rows do not have."""
        uri = to_uri(path, self.root)
        stamp = stamp_of(path)
        when, ids = self.known.get(uri, (_NEVER, set()))
        if uri in self.known and when != _NEVER and stamp is not None:
            known = self._stamps.get(uri)
            # Without a stamp, as in a workspace of an older version, the shard's time must do.
            if known == stamp or (known is None and max(stamp[1:]) < when * 1e9):
                self._stamps[uri] = stamp
                return False
        if stamp is not None:
            self._stamps[uri] = stamp
        if uri not in self.known:
            return True
        try:
            self._looked[uri] = content_id(read_bytes(path))
        except ImageError:
            self._stamps.pop(uri, None)
            return False
        return self._looked[uri] not in ids

    def settle(self, layer: Layer, folders: Sequence[Path]) -> int:
        """Mark rows whose photo is gone, and take back those whose photo is there again.

        Args:
            layer: the layer `scan`; shards with such rows are written anew.
            folders: below these, what is not there any more counts as gone.

        Returns:
            How many rows were marked as gone.
        """
        several = {uri for uri, (_, ids) in self.known.items() if len(ids) > 1}
        several |= {uri for uri, seen in self._looked.items() if seen not in self.known[uri][1]}
        gone = 0
        for index in layer.shards():
            rows = layer.table(index, ["uri", "image_id", "split"]).to_pylist()
            found = (self._mark(row, folders, several) for row in rows)
            marks = {i: mark for i, mark in enumerate(found) if mark is not None}
            if marks:
                records = layer.read(index)
                gone += sum(mark != "" for mark in marks.values())
                layer.write(index, list(_marked(records, marks)), None)
        return gone

    def _mark(self, row: dict[str, str], folders: Sequence[Path], several: set[str]) -> str | None:
        """Why a row is gone from now on; empty if it is back, None if it stays as it is."""
        uri, image_id = row["uri"], row["image_id"]
        if row["split"] == GONE:
            return "" if self._looked.get(uri) == image_id else None
        path = from_uri(uri, self.root)
        if not any(path.is_relative_to(folder) for folder in folders):
            return None
        if not _is_there(path):
            self._stamps.pop(uri, None)
            return _MISSING
        if uri in several and _content(path) not in (image_id, None):
            return _REPLACED
        return None

    def save(self, layer: Layer) -> None:
        """Keep the stamps beside the shards."""
        data = json.dumps(self._stamps, ensure_ascii=True, separators=(",", ":")).encode()
        path = layer.path / STAMPS
        same = path.is_file() and path.stat().st_size == len(data) and path.read_bytes() == data
        if not same:
            write_atomic(path, data)


def _marked(records: Iterable[Record], marks: dict[int, str]) -> Iterable[Record]:
    for i, record in enumerate(records):
        if i not in marks:
            yield record
        elif marks[i]:
            yield replace(record, split=GONE, note=marks[i])
        else:
            yield replace(record, split=POOL, note=None)


def stamp_of(path: Path) -> list[int] | None:
    """Return size, time of writing and time of change (which `cp -p` leaves), in nanoseconds."""
    try:
        seen = path.stat()
    except (OSError, ValueError):
        return None
    return [seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns]


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # not to be told: it stays
        return True


def _content(path: Path) -> str | None:
    try:
        return content_id(read_bytes(path))
    except ImageError:
        return None
