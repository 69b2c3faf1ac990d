"""One layer: a folder of immutable Parquet shards and one manifest."""

from __future__ import annotations

import hashlib
import json
from collections import Counter as TallyCounter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autolabel.errors import AutolabelError
from autolabel.store.files import write_atomic
from autolabel.store.manifest import Manifest
from autolabel.types import Record, from_table, to_table
from autolabel.vectors import CROPS, from_vector_table, to_vector_table

SOURCE_DIGEST = b"autolabel.source"
EMBED = "embed"
"""Folder of the layers `embed/NAME`, which hold the vectors of another layer's crops."""
STUDENT = "student"
"""Folder of the layers `student/NAME`, which hold what students find in hand-labelled photos."""


@dataclass(frozen=True)
class Counts:
    """How many images (by split), objects, kept objects and failed images a layer holds."""

    images: int = 0
    objects: int = 0
    kept: int = 0
    errors: int = 0
    splits: TallyCounter[str] = field(default_factory=TallyCounter)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )


class Layer:
    """One folder of shards ``part-00000.parquet`` and its ``manifest.json``."""

    def __init__(self, path: Path, name: str) -> None:
        self.path = path
        self.name = name

    def __repr__(self) -> str:
        return f"Layer({str(self.path)!r})"

    # -- manifest ---------------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is a manifest; shards without one are leftovers and do not count."""
        return (self.path / "manifest.json").is_file()

    @property
    def manifest(self) -> Manifest:
        """The manifest.

        Raises:
            AutolabelError: it is missing or damaged.
        """
        path = self.path / "manifest.json"
        try:
            return Manifest(**json.loads(path.read_text("utf-8")))
        except FileNotFoundError:
            raise AutolabelError(
                f"the workspace has no layer {self.name}/",
                hint=f"autolabel status {self.path.parent} lists the layers",
            ) from None
        except (ValueError, TypeError) as e:
            raise AutolabelError(
                f"{path} is damaged: {e}", hint=f"move {self.path} away and run the stage again"
            ) from e

    def write_manifest(self, manifest: Manifest) -> None:
        """Write the manifest atomically."""
        text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
        write_atomic(self.path / "manifest.json", text.encode())

    # -- shards -----------------------------------------------------------------------------

    def shard_path(self, index: int) -> Path:
        """Where shard `index` lies, whether or not it exists."""
        return self.path / f"part-{index:05d}.parquet"

    def shards(self) -> list[int]:
        """Indices of the shards that exist, in order."""
        if not self.exists:
            return []
        return sorted(int(p.stem[5:]) for p in self.path.glob("part-*.parquet"))

    def read(self, index: int) -> list[Record]:
        """The records of one shard."""
        return self.decoded(self.table(index))

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
        """One shard, or some of its columns, as an Arrow table."""
        path = self.shard_path(index)
        try:
            with pq.ParquetFile(path) as file:
                return file.read(columns=columns)
        except (OSError, pa.ArrowException) as e:
            raise self._unreadable(path, e) from e

    def rows(self, index: int) -> int:
        """How many images one shard has."""
        path = self.shard_path(index)
        try:
            return int(pq.read_metadata(path).num_rows)
        except (OSError, pa.ArrowException) as e:
            raise self._unreadable(path, e) from e

    def _unreadable(self, path: Path, error: Exception) -> AutolabelError:
        return AutolabelError(
            f"{path} cannot be read: {error}",
            hint=f"delete {path.name} and run the stage {self.name} again",
        )

    def counts(self) -> Counts:
        """What the layer holds, from its columns alone."""
        total = Counts()
        for index in self.shards():
            if self.holds_vectors:
                total += self._vector_counts(index)
                continue
            table = self.table(index, ["error", "split", "objects.list.element.keep"])
            keep = table.column("objects").combine_chunks().flatten().field("keep")
            total += Counts(
                images=table.num_rows,
                objects=len(keep),
                kept=keep.true_count,
                errors=table.num_rows - table.column("error").null_count,
                splits=TallyCounter(table.column("split").to_pylist()),
            )
        return total

    def classes(self) -> dict[str, tuple[int, int]]:
        """Class -> how many labels are kept and how many rejected, by name."""
        kept, all_of = TallyCounter[str](), TallyCounter[str]()
        for index in () if self.holds_vectors else self.shards():
            columns = [f"objects.list.element.{name}" for name in ("label", "keep")]
            objects = self.table(index, columns).column("objects").combine_chunks().flatten()
            label = objects.field("label")
            all_of.update(label.to_pylist())
            kept.update(label.filter(objects.field("keep")).to_pylist())
        return {name: (kept[name], n - kept[name]) for name, n in sorted(all_of.items())}

    def _vector_counts(self, index: int) -> Counts:
        table = self.table(index, ["error", CROPS])
        crops = sum(len(chunk.flatten()) for chunk in table.column(CROPS).chunks)
        errors = table.num_rows - table.column("error").null_count
        return Counts(images=table.num_rows, objects=crops, kept=crops, errors=errors)

    def records(self) -> Iterator[Record]:
        """All records in order, one shard in memory at a time."""
        for index in self.shards():
            yield from self.read(index)

    def write(self, index: int, records: Sequence[Record], source_digest: str | None) -> None:
        """Write one shard atomically; the same records give the same bytes."""
        table = self.encoded(records)
        table = table.replace_schema_metadata({SOURCE_DIGEST: (source_digest or "").encode()})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        write_atomic(self.shard_path(index), sink.getvalue())

    def digest(self, index: int) -> str:
        """SHA-256 of a shard's bytes, in hexadecimal."""
        with self.shard_path(index).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def source_digest(self, index: int) -> str:
        """Digest of the source shard that this shard was made from; empty for a first layer.

        A ``+`` and a digest of what else went into the shard may follow.
        """
        try:
            metadata = pq.read_schema(self.shard_path(index)).metadata or {}
        except (OSError, pa.ArrowException):
            return "unreadable"
        digest: bytes = metadata.get(SOURCE_DIGEST, b"")
        return digest.decode()

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

    def drop_beyond(self, source: Layer) -> None:
        """Remove shards that `source` no longer has."""
        for index in set(self.shards()) - set(source.shards()):
            self.shard_path(index).unlink()


def bound_to(manifest: Manifest, source: Layer) -> Manifest:
    """The manifest of a layer made from `source` as that is now."""
    return replace(
        manifest,
        source={"layer": source.name, "fingerprint": source.fingerprint()},
        shards=len(source.shards()),
    )
