"""What an unfinished shard has so far, on disk, so that a stop costs seconds and not the shard.

Beside the shards of a layer lies one hidden file for each shard that is being made and takes longer
than a moment. Results are appended as their batches are done, and the file goes when the shard is
there. It begins with what the shard is made from: the layer's settings and model, the digest of the
source shard, and the images; a journal of anything else is passed over. Each part is framed by its
length and a checksum, so that one which a crash cut off, and what follows it, is passed over too.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import struct
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from autolabel.engine.base import Stage, Stamped, Task
from autolabel.store import REFUSED, Layer, not_writable
from autolabel.types import Record

EVERY = 2.0
"""Seconds between two writes; what is made in less is written with the shard alone."""

LARGEST = 2**31
"""Bytes of a journal that is read."""

_FRAME = struct.Struct("<Q32s")
"""Length and SHA-256 of the part that follows."""

_ROWS = b"autolabel.rows"


class Journal:
    """The results of one shard that is being made.

    Args:
        layer: where the shard will be.
        task: the shard.
        records: what it is made from.
        stage: what makes it.
    """

    def __init__(self, layer: Layer, task: Task, records: Sequence[Record], stage: Stage) -> None:
        self.layer = layer
        self.path = layer.journal_path(task.index)
        self.made_from = _made_from(layer, task, records, stage)
        self.images = [record.image_id for record in records]
        self._waiting: dict[int, Record] = {}
        self._whole = 0  # bytes of the file that are this shard's and sound
        self._written: float | None = None  # when, by a clock that is never set back

    def read(self) -> dict[int, Record]:
        """Return row -> result of what an earlier run finished; nothing where it cannot be used."""
        found: dict[int, Record] = {}
        try:
            with self._opened() as file:
                parts = _parts(file)
                if next(parts, (b"", 0))[0] != self.made_from:
                    return {}
                self._whole = _FRAME.size + len(self.made_from)
                for part, end in parts:
                    found |= self._decoded(part)
                    self._whole = end
        except (OSError, ValueError, KeyError, TypeError, pa.ArrowException):
            return found
        return found

    def start(self) -> None:
        """Say that work on the shard begins."""
        if self._written is None:
            self._written = time.monotonic()

    def add(self, results: Mapping[int, Record]) -> None:
        """Keep the results of a batch; those with an error are left out, to be tried again.

        Raises:
            AutolabelError: the disk refuses.
        """
        self._waiting |= {row: done for row, done in results.items() if done.error is None}
        if self._written is None or time.monotonic() - self._written >= EVERY:
            self.write()

    def write(self) -> None:
        """Put on disk what is waiting.

        Raises:
            AutolabelError: the disk refuses.
        """
        if not self._waiting:
            return
        try:
            self._append()
        except OSError as e:
            if e.errno in REFUSED:
                raise not_writable(self.layer.path, e) from e
            # Without a journal a stop costs more, and nothing else.
        self._waiting = {}
        self._written = time.monotonic()

    def remove(self) -> None:
        """Take the file away: the shard is there."""
        self._waiting = {}
        with suppress(OSError):
            self.path.unlink(missing_ok=True)

    def _append(self) -> None:
        if not self._whole:
            self.path.unlink(missing_ok=True)
        flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        flags |= 0 if self._whole else os.O_CREAT | os.O_EXCL
        with os.fdopen(os.open(self.path, flags, 0o666), "r+b") as file:
            file.truncate(self._whole)
            file.seek(self._whole)
            if not self._whole:
                file.write(_framed(self.made_from))
            file.write(_framed(self._encoded()))
            file.flush()
            os.fsync(file.fileno())
            self._whole = file.tell()

    def _opened(self) -> BinaryIO:
        """Open the file, if it is one of its own and not a link, a pipe or the like."""
        if not stat.S_ISREG(self.path.lstat().st_mode):
            raise OSError(f"{self.path} is not a file")
        return self.path.open("rb")

    def _encoded(self) -> bytes:
        table = self.layer.encoded(list(self._waiting.values()))
        sink = pa.BufferOutputStream()
        rows = json.dumps(list(self._waiting)).encode()
        pq.write_table(table.replace_schema_metadata({_ROWS: rows}), sink, compression="zstd")
        data: bytes = sink.getvalue().to_pybytes()
        return data

    def _decoded(self, part: bytes) -> dict[int, Record]:
        table = self.layer.parsed(part)
        rows = json.loads((table.schema.metadata or {}).get(_ROWS, b"null"))
        records = self.layer.decoded(table)
        for row, record in zip(rows, records, strict=True):
            if not isinstance(row, int) or not 0 <= row < len(self.images):
                raise ValueError(f"there is no row {row}")
            # Only a layer that is the first to look at its files knows no images yet.
            if self.images[row] not in ("", record.image_id):
                raise ValueError(f"row {row} is of another image")
        return dict(zip(rows, records, strict=True))


def clear(layer: Layer) -> None:
    """Remove the journals of a layer of which nothing is left to do."""
    for path in layer.path.glob(layer.journal_path(0).name.replace("00000", "*")):
        with suppress(OSError):
            path.unlink()


def _made_from(layer: Layer, task: Task, records: Sequence[Record], stage: Stage) -> bytes:
    """Return what a journal must be of, to be used for a shard."""
    stamp = stage.stamp if isinstance(stage, Stamped) else lambda record: ()
    images = [[record.image_id, record.uri, *stamp(record)] for record in records]
    made_from = [layer.manifest.binding(), task.source_digest, images]
    return hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest().encode()


def _framed(part: bytes) -> bytes:
    return _FRAME.pack(len(part), hashlib.sha256(part).digest()) + part


def _parts(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Read the sound parts of a journal, and where each ends."""
    while len(head := file.read(_FRAME.size)) == _FRAME.size:
        length, checksum = _FRAME.unpack(head)
        if length > LARGEST:
            return
        part = file.read(length)
        if len(part) < length or hashlib.sha256(part).digest() != checksum:
            return
        yield part, file.tell()
