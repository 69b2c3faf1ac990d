"""One layer: a folder of immutable Parquet shards and one manifest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from autolabel.store.counts import (
    CLASS_COLUMNS,
    LABEL_COLUMNS,
    VECTOR_COLUMNS,
    Counts,
    count_classes,
)
from autolabel.store.digests import digest_of, read_with_stat
from autolabel.store.files import write_atomic
from autolabel.store.groups import EMBED
from autolabel.store.manifest import Manifest
from autolabel.store.manifest_file import MANIFEST, read_manifest, write_manifest
from autolabel.store.shard_bytes import (
    UNREADABLE,
    count_rows,
    decode_shard,
    encode_shard,
    read_shard,
    source_digest_in,
    unreadable,
)
from autolabel.store.shards import shard_numbers
from autolabel.store.snapshot import Snapshot, take_snapshot
from autolabel.store.vectors import from_vector_table, to_vector_table
from autolabel.types import Record, from_table, is_unread, to_table


class Layer:
    """One folder of shards ``part-00000.parquet`` and its ``manifest.json``."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._snapshot: Snapshot | None = None
        self._written: dict[int, tuple[str, str, bool]] = {}

    def __repr__(self) -> str:
        return f"Layer({str(self.path)!r})"

    def snapshot(self) -> Layer:
        """Return the layer as it is now, for reading: what takes its place changes nothing.

        Its folder stays open, and so is not deleted, until the result is collected.

        Raises:
            AutolabelError: it is not there, or is damaged.
        """
        frozen = Layer(self.path, self.name)
        frozen._snapshot = take_snapshot(self.path, self.name)
        return frozen

    def adopt_snapshot(self, other: Layer) -> None:
        """Read what `other` reads."""
        self._snapshot = other._snapshot

    # -- manifest ---------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is a manifest; shards without one are leftovers and do not count."""
        return (self.path / MANIFEST).is_file()

    @property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            AutolabelError: it is missing or damaged.
        """
        if self._snapshot is not None:
            return self._snapshot.manifest
        return read_manifest(self.path, self.name)

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest atomically.

        Raises:
            AutolabelError: a path in it is not UTF-8.
            OSError: it cannot be written.
        """
        write_manifest(self.path, self.name, manifest)

    def note_shards(self) -> None:
        """Note in the manifest the digests of the shards that are there."""
        manifest = self.manifest
        noted = replace(manifest, digests={}, made_from={}, unread=[])
        for index in self.shards():
            key = str(index)
            if index in self._written:
                digest, source, failed = self._written[index]
            else:
                digest, source = self.digest(index), self.source_digest(index)
                failed = self.has_unread(index)
            noted.digests[key], noted.made_from[key] = digest, source
            noted.unread.extend([index] if failed else [])
        if noted != manifest:
            self.write_manifest(noted)

    # -- shards -----------------------------------------------------------------------------

    def shard_path(self, index: int) -> Path:
        """Return where shard `index` lies, whether or not it exists."""
        return self.path / f"part-{index:05d}.parquet"

    def shards(self) -> list[int]:
        """Return the indices of the shards that exist, in order."""
        if self._snapshot is not None:
            return list(self._snapshot.shards)
        if not self.exists:
            return []
        return shard_numbers(path.name for path in self.path.glob("part-*.parquet"))

    def read(self, index: int) -> list[Record]:
        """Read the records of one shard.

        Raises:
            AutolabelError: as `table`.
        """
        table = self.table(index)
        try:
            return self.decoded(table)
        except ValueError as e:
            raise unreadable(self.shard_path(index), self.name, e) from e

    def decoded(self, table: pa.Table) -> list[Record]:
        """Return the records of a table as `encoded` makes it."""
        return from_vector_table(table) if self.holds_vectors else from_table(table)

    def encoded(self, records: Sequence[Record]) -> pa.Table:
        """Return records as the table that the layer stores."""
        return to_vector_table(records) if self.holds_vectors else to_table(records)

    def journal_path(self, index: int) -> Path:
        """Return where the results of shard `index` lie while it is being made."""
        return self.path / f".part-{index:05d}.journal"

    @property
    def holds_vectors(self) -> bool:
        """Whether its rows are embeddings, not labels."""
        return self.name.startswith(f"{EMBED}/")

    def table(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """Read one shard, or some of its columns, as an Arrow table.

        Raises:
            AutolabelError: it cannot be read, or its bytes are not those that were written.
        """
        data = self._checked(index)
        try:
            return self.parsed(data, columns)
        except (OSError, ValueError, pa.ArrowException) as e:
            raise unreadable(self.shard_path(index), self.name, e) from e

    def parsed(self, data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the table, or some columns, of a Parquet file's bytes; they are checked.

        Raises:
            OSError, ValueError, pyarrow.ArrowException: they are not.
        """
        workspace = self.path.parents[self.name.count("/")]
        return decode_shard(data, columns, vectors=self.holds_vectors, workspace=workspace)

    def rows(self, index: int) -> int:
        """Return how many images one shard has.

        Raises:
            AutolabelError: as `table`.
        """
        data = self._checked(index)
        try:
            return count_rows(data)
        except (OSError, ValueError, pa.ArrowException) as e:
            raise unreadable(self.shard_path(index), self.name, e) from e

    def _checked(self, index: int) -> bytes:
        """Read a shard's bytes, which are those that were written where that is noted."""
        folder = self._snapshot.folder if self._snapshot else None
        noted = self.manifest.digests.get(str(index))
        return read_shard(self.shard_path(index), noted, self.name, folder)

    def has_unread(self, index: int) -> bool:
        """Say whether a shard has an image that could not be read, but may be the next time."""
        manifest = self.manifest
        if str(index) in manifest.digests:
            return index in manifest.unread
        return any(map(is_unread, self.table(index, ["error"]).column(0).to_pylist()))

    def counts(self) -> Counts:
        """Count what the layer holds, from its columns alone."""
        columns = VECTOR_COLUMNS if self.holds_vectors else LABEL_COLUMNS
        total = Counts()
        for index in self.shards():
            total += Counts.of(self.table(index, columns))
        return total

    def classes(self) -> dict[str, tuple[int, int]]:
        """Return how many labels of each class are kept and how many rejected, by its name."""
        shards = () if self.holds_vectors else self.shards()
        return count_classes(self.table(index, CLASS_COLUMNS) for index in shards)

    def records(self) -> Iterator[Record]:
        """Yield all records in order, one shard in memory at a time."""
        for index in self.shards():
            yield from self.read(index)

    __iter__ = records

    def __len__(self) -> int:
        """Return the number of images."""
        return sum(map(self.rows, self.shards()))

    def __bool__(self) -> bool:
        """Return True: a layer without images is one too, and to ask reads no shard."""
        return True

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the layer as one Arrow table, a row for each image, in the records' order.

        Args:
            columns: some of them alone, nested ones by their path:
                ``objects.list.element.label``.

        Raises:
            AutolabelError: there is no such layer, or a shard is damaged.
        """
        tables = [self.table(index, columns) for index in self.shards()]
        if not tables:
            self.manifest  # noqa: B018 - raises where there is no layer
            return self.encoded([])
        return pa.concat_tables(table.replace_schema_metadata(None) for table in tables)

    def write(self, index: int, records: Sequence[Record], source_digest: str | None) -> None:
        """Write one shard atomically; the same records give the same bytes."""
        data = encode_shard(self.encoded(records), source_digest)
        digest = digest_of(data)
        if self.manifest.digests.get(str(index), digest) != digest:
            self.forget({index})
        write_atomic(self.shard_path(index), data)
        failed = any(is_unread(record.error) for record in records)
        self._written[index] = digest, source_digest or "", failed

    def forget(self, indices: Collection[int]) -> None:
        """Take the digests of shards that will be written anew out of the manifest."""
        self.write_manifest(self.manifest.noting(set(self.shards()) - set(indices)))

    def digest(self, index: int) -> str:
        """Return the SHA-256 of a shard's bytes in hexadecimal: as noted, else found.

        Raises:
            AutolabelError: it cannot be read.
        """
        noted = self.manifest.digests.get(str(index))
        if noted is not None:
            return noted
        try:
            return digest_of(*read_with_stat(self.shard_path(index)))
        except OSError as e:
            raise unreadable(self.shard_path(index), self.name, e) from e

    def source_digest(self, index: int) -> str:
        """Return the digest of the source shard that a shard was made from; else empty.

        A ``+`` and a digest of what else went into the shard may follow.
        """
        noted = self.manifest.made_from.get(str(index))
        if noted is not None:
            return noted
        try:
            data = read_with_stat(self.shard_path(index))[0]
        except OSError:
            return UNREADABLE
        return source_digest_in(data)

    def fingerprint(self) -> str:
        """Return a hash of everything that the layer holds and is bound to."""
        sha = hashlib.sha256(json.dumps(self.manifest.binding(), sort_keys=True).encode())
        for index in self.shards():
            sha.update(f"{index}:{self.digest(index)}".encode())
        return sha.hexdigest()

    def to_do(self, source: Layer) -> list[int]:
        """Return the shards of `source` that are missing here, or were made from other content."""
        have = set(self.shards())
        return [
            i
            for i in source.shards()
            if i not in have or self.source_digest(i).partition("+")[0] != source.digest(i)
        ]
