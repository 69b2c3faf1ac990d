"""One layer: a folder of immutable Parquet shards and one manifest."""

from __future__ import annotations

import hashlib
import json
import os
import time
import weakref
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autolabel.errors import AutolabelError
from autolabel.reading import parse_json
from autolabel.store.counts import LABEL_COLUMNS, VECTOR_COLUMNS, Counts
from autolabel.store.digests import digest_of, read_with_stat
from autolabel.store.files import hold_folder, write_atomic
from autolabel.store.manifest import Manifest
from autolabel.store.shards import check_file, check_table
from autolabel.store.validate import LARGEST_MANIFEST, SHARD, check_uris, manifest_of
from autolabel.store.vectors import from_vector_table, to_vector_table
from autolabel.types import Record, from_table, is_unread, to_table

MANIFEST = "manifest.json"
SOURCE_DIGEST = b"autolabel.source"
UNREADABLE = "unreadable"
"""The `source_digest` of a shard that is damaged, which fits no source."""
EMBED = "embed"
"""Folder of the layers `embed/NAME`, which hold the vectors of another layer's crops."""
STUDENT = "student"
"""Folder of the layers `student/NAME`, which hold what students find in hand-labelled photos."""


@dataclass(frozen=True)
class Snapshot:
    """A layer as it was when a reader began: its open folder, its manifest and its shards."""

    folder: int | None
    manifest: Manifest
    shards: tuple[int, ...]


class Layer:
    """One folder of shards ``part-00000.parquet`` and its ``manifest.json``."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name
        self._snapshot: Snapshot | None = None
        self._holder: Layer | None = None
        self._parsed: tuple[tuple[int, int, int], Manifest] | None = None
        self._written: dict[int, tuple[str, str, bool]] = {}

    def __repr__(self) -> str:
        return f"Layer({str(self.path)!r})"

    def snapshot(self) -> Layer:
        """The layer as it is now, for reading: what takes its place meanwhile changes nothing.

        Its folder stays open, and so is not deleted, until the result is collected.

        Raises:
            AutolabelError: it is not there, or is damaged.
        """
        folder = None
        for _ in range(50):
            try:
                folder = hold_folder(self.path)
                break
            except OSError:
                if not self.exists:
                    break
                time.sleep(0.02)  # it is replaced just now
        held = Layer(self.path, self.name)
        if folder is None:
            held._snapshot = Snapshot(None, self.manifest, tuple(self.shards()))
            return held
        weakref.finalize(held, os.close, folder)
        shards = _indices(os.listdir(folder))  # noqa: PTH208
        held._snapshot = Snapshot(folder, held._parse(folder), tuple(shards))
        return held

    def adopt_snapshot(self, other: Layer) -> None:
        """Read what `other` holds."""
        self._snapshot = other._snapshot
        self._holder = other  # its folder is open for as long as it lives

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
        return self._snapshot.manifest if self._snapshot is not None else self._parse(None)

    def _parse(self, folder: int | None) -> Manifest:
        path = self.path / MANIFEST
        try:
            stat = path.stat() if folder is None else os.stat(path.name, dir_fd=folder)
            key = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
            if self._parsed is None or self._parsed[0] != key:
                data = read_with_stat(path, folder, LARGEST_MANIFEST)[0]
                self._parsed = key, manifest_of(parse_json(data))
            return self._parsed[1]
        except FileNotFoundError:
            raise AutolabelError(
                f"the workspace has no layer {self.name}/",
                hint=f"autolabel status {self.path.parent} lists the layers",
            ) from None
        except (OSError, ValueError) as e:
            raise AutolabelError(
                f"{path} is damaged: {e}", hint=f"move {self.path} away and run the stage again"
            ) from e

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest atomically.

        Raises:
            AutolabelError: a path in it is not UTF-8.
        """
        text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
        try:
            data = text.encode()
        except UnicodeEncodeError as e:
            shown = text[max(0, e.start - 40) : e.end].rpartition('"')[2].encode(errors="replace")
            raise AutolabelError(
                f"{self.name}/ cannot note {shown.decode()}…: the path is not UTF-8",
                hint="rename that folder, or where its name is UTF-8: export LC_ALL=C.UTF-8",
            ) from e
        write_atomic(self.path / MANIFEST, data)

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
        """Where shard `index` lies, whether or not it exists."""
        return self.path / f"part-{index:05d}.parquet"

    def shards(self) -> list[int]:
        """Indices of the shards that exist, in order."""
        if self._snapshot is not None:
            return list(self._snapshot.shards)
        if not self.exists:
            return []
        return _indices(path.name for path in self.path.glob("part-*.parquet"))

    def read(self, index: int) -> list[Record]:
        """The records of one shard."""
        table = self.table(index)
        try:
            return self.decoded(table)
        except ValueError as e:
            raise self._unreadable(index, e) from e

    def decoded(self, table: pa.Table) -> list[Record]:
        """The records of a table as `encoded` makes it."""
        return from_vector_table(table) if self.holds_vectors else from_table(table)

    def encoded(self, records: Sequence[Record]) -> pa.Table:
        """Records as the layer stores them."""
        return to_vector_table(records) if self.holds_vectors else to_table(records)

    def journal_path(self, index: int) -> Path:
        """Where the results of shard `index` lie while it is being made."""
        return self.path / f".part-{index:05d}.journal"

    @property
    def holds_vectors(self) -> bool:
        """Whether its rows are embeddings, not labels."""
        return self.name.startswith(f"{EMBED}/")

    def table(self, index: int, columns: Sequence[str] | None = None) -> pa.Table:
        """One shard, or some of its columns, as an Arrow table.

        Raises:
            AutolabelError: it cannot be read, or its bytes are not those that were written.
        """
        data = self._checked(index)
        try:
            return self.parsed(data, columns)
        except (OSError, ValueError, pa.ArrowException) as e:
            raise self._unreadable(index, e) from e

    def parsed(self, data: bytes, columns: Sequence[str] | None = None) -> pa.Table:
        """The table, or some columns, of a Parquet file's bytes, once they are seen to be sound.

        Raises:
            OSError, ValueError, pyarrow.ArrowException: they are not.
        """
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            check_file(file, vectors=self.holds_vectors)
            table = file.read(columns=columns)
        check_table(table)
        if "uri" in table.column_names:
            home = self.path.parents[self.name.count("/")]
            check_uris(table.column("uri").to_pylist(), home)
        return table

    def rows(self, index: int) -> int:
        """How many images one shard has.

        Raises:
            AutolabelError: as `table`.
        """
        data = self._checked(index)
        try:
            return int(pq.read_metadata(pa.BufferReader(data)).num_rows)
        except (OSError, ValueError, pa.ArrowException) as e:
            raise self._unreadable(index, e) from e

    def _checked(self, index: int) -> bytes:
        """A shard's bytes, which are those that were written where that is noted."""
        path, noted = self.shard_path(index), self.manifest.digests.get(str(index))
        try:
            data, stat = read_with_stat(path, self._snapshot.folder if self._snapshot else None)
        except OSError as e:
            raise self._unreadable(index, e) from e
        if noted is not None and digest_of(data, stat) != noted:
            raise AutolabelError(
                f"{path} is damaged: its bytes are not those that were written",
                hint=f"delete {path.name} and run {_stage(self.name)} again with the same options: "
                "it makes only that shard anew",
            )
        return data

    def _unreadable(self, index: int, cause: Exception) -> AutolabelError:
        path = self.shard_path(index)
        return AutolabelError(
            f"{path} cannot be read: {cause}",
            hint=f"delete {path.name} and run {_stage(self.name)} again with the same options",
        )

    def has_unread(self, index: int) -> bool:
        """Whether a shard has an image that could not be read, though it may be the next time."""
        manifest = self.manifest
        if str(index) in manifest.digests:
            return index in manifest.unread
        return any(map(is_unread, self.table(index, ["error"]).column(0).to_pylist()))

    def counts(self) -> Counts:
        """What the layer holds, from its columns alone."""
        columns = VECTOR_COLUMNS if self.holds_vectors else LABEL_COLUMNS
        total = Counts()
        for index in self.shards():
            total += Counts.of(self.table(index, columns))
        return total

    def classes(self) -> dict[str, tuple[int, int]]:
        """Class -> how many labels are kept and how many rejected, by name."""
        kept, all_of = Counter[str](), Counter[str]()
        for index in () if self.holds_vectors else self.shards():
            columns = [f"objects.list.element.{name}" for name in ("label", "keep")]
            objects = self.table(index, columns).column("objects").combine_chunks().flatten()
            label = objects.field("label")
            all_of.update(label.to_pylist())
            kept.update(label.filter(objects.field("keep")).to_pylist())
        return {name: (kept[name], n - kept[name]) for name, n in sorted(all_of.items())}

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
        table = self.encoded(records)
        table = table.replace_schema_metadata({SOURCE_DIGEST: (source_digest or "").encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue()
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
        """SHA-256 of a shard's bytes, in hexadecimal: as noted, else found.

        Raises:
            AutolabelError: it cannot be read.
        """
        noted = self.manifest.digests.get(str(index))
        if noted is not None:
            return noted
        try:
            return digest_of(*read_with_stat(self.shard_path(index)))
        except OSError as e:
            raise self._unreadable(index, e) from e

    def source_digest(self, index: int) -> str:
        """Digest of the source shard that this shard was made from; empty for a first layer.

        A ``+`` and a digest of what else went into the shard may follow.
        """
        noted = self.manifest.made_from.get(str(index))
        if noted is not None:
            return noted
        try:
            data = read_with_stat(self.shard_path(index))[0]
            metadata = pq.read_schema(pa.BufferReader(data)).metadata or {}
        except (OSError, ValueError, pa.ArrowException):
            return UNREADABLE
        digest: bytes = metadata.get(SOURCE_DIGEST, b"")
        return digest.decode("utf-8", "replace")

    def fingerprint(self) -> str:
        """Hash of everything that the layer holds and is bound to; changes when they do."""
        sha = hashlib.sha256(json.dumps(self.manifest.binding(), sort_keys=True).encode())
        for index in self.shards():
            sha.update(f"{index}:{self.digest(index)}".encode())
        return sha.hexdigest()

    def to_do(self, source: Layer) -> list[int]:
        """Shards of `source` that are missing here, or were made from other content."""
        have = set(self.shards())
        return [
            i
            for i in source.shards()
            if i not in have or self.source_digest(i).partition("+")[0] != source.digest(i)
        ]


def _indices(names: Iterable[str]) -> list[int]:
    """The numbers of shards, by their files' names, in order."""
    return sorted(int(found[1]) for found in map(SHARD.fullmatch, names) if found)


def _stage(name: str) -> str:
    """The command that makes a layer."""
    group = name.partition("/")[0]
    made_by = {"scan": "ingest", "images": "ingest", EMBED: "filter", STUDENT: "evaluate"}
    return f"autolabel {made_by.get(group, group)}"


def bound_to(manifest: Manifest, source: Layer) -> Manifest:
    """The manifest of a layer made from `source` as that is now."""
    return replace(
        manifest,
        source={"layer": source.name, "fingerprint": source.fingerprint()},
        shards=len(source.shards()),
    )
