"""The label store: a workspace of layers, a layer of immutable Parquet shards and one manifest.

A shard is written under a hidden name, fsynced and renamed, so a visible one is whole. Shard *i*
of a layer depends on shard *i* of its source alone, whose digest it carries; it is stale exactly
when that digest no longer fits. A layer whose settings change is written anew beside the old one,
hidden, and takes its place when it is complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections import Counter as TallyCounter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from autolabel import __version__
from autolabel.errors import AutolabelError
from autolabel.types import Record, from_table, to_table
from autolabel.vectors import CROPS, from_vector_table, to_vector_table

SOURCE_DIGEST = b"autolabel.source"
EMBED = "embed"
"""Folder of the layers `embed/NAME`, which hold the vectors of another layer's crops."""
STUDENT = "student"
"""Folder of the layers `student/NAME`, which hold what students find in hand-labelled photos."""
GROUPS = (EMBED, STUDENT)
LOCK = ".lock"
REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors with which a disk or folder refuses a write, and would refuse the next one."""


@dataclass(frozen=True)
class Manifest:
    """What a layer is bound to, and where it came from.

    Attributes:
        stage: name of the stage that made it.
        settings: the settings that shape its content, as JSON values.
        model: name and revision (or content hash) of the model, or None.
        version: version of the code.
        source: name and fingerprint of the source layer, or None.
        source_root: folder that the records' uris are relative to (the first layer only).
        shards: how many shards the layer has when it is complete.
        origin: paths and the like that help to repeat the run but do not bind the layer.
    """

    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: dict[str, str] | None = None
    version: str = __version__
    source: dict[str, str] | None = None
    source_root: str | None = None
    shards: int = 0
    origin: dict[str, Any] = field(default_factory=dict)

    def binding(self) -> dict[str, Any]:
        """The part that may not differ within one layer."""
        return {
            "stage": self.stage,
            "settings": self.settings,
            "model": self.model,
            "version": self.version,
            "source": self.source["layer"] if self.source else None,
        }


def differences(old: Manifest, new: Manifest) -> list[str]:
    """What binds two layers differently, in words: ``box_threshold 0.35, not 0.25``."""
    flat_old, flat_new = _flat(old.binding()), _flat(new.binding())
    keys = [k for k in flat_old | flat_new if flat_old.get(k) != flat_new.get(k)]
    return [f"{k} {_shown(flat_old.get(k))}, not {_shown(flat_new.get(k))}" for k in keys]


def _flat(binding: dict[str, Any]) -> dict[str, Any]:
    flat = {k: v for k, v in binding.items() if k not in ("settings", "model")}
    flat.update(binding["settings"])
    flat.update({f"model {k}": v for k, v in (binding["model"] or {}).items()})
    return flat


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "…"


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
        table = self.table(index)
        return from_vector_table(table) if self.holds_vectors else from_table(table)

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
            raise AutolabelError(
                f"{path} cannot be read: {e}",
                hint=f"delete {path.name} and run the stage {self.name} again",
            ) from e

    def rows(self, index: int) -> int:
        """How many images one shard has."""
        return int(pq.read_metadata(self.shard_path(index)).num_rows)

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
        table = to_vector_table(records) if self.holds_vectors else to_table(records)
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


@dataclass(frozen=True)
class LayerState:
    """How a layer stands: see `Workspace.states`."""

    layer: Layer
    source: str | None
    shards: int
    missing: int
    stale: int

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.missing and not self.stale


class Workspace:
    """A folder of layers, each in a folder of its own name."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def layer(self, name: str) -> Layer:
        """The layer of that name, which need not exist."""
        return Layer(self.path / name, name)

    def layers(self) -> list[Layer]:
        """The layers that exist, sources before what was made from them, then by name."""
        if not self.path.is_dir():
            return []
        patterns = ["[!.]*/manifest.json", *(f"{g}/[!.]*/manifest.json" for g in GROUPS)]
        folders = [p.parent for pattern in patterns for p in self.path.glob(pattern)]
        names = [p.relative_to(self.path).as_posix() for p in sorted(folders)]
        found = {name: self.layer(name) for name in names}

        def depth(layer: Layer) -> int:
            source = layer.manifest.source
            seen = found.get(source["layer"]) if source else None
            return 1 + depth(seen) if seen else 0

        return sorted(found.values(), key=lambda layer: (depth(layer), layer.name))

    def require(self, name: str) -> Layer:
        """The layer of that name.

        Raises:
            AutolabelError: there is none.
        """
        layer = self.layer(name)
        if not layer.exists:
            have = ", ".join(x.name for x in self.layers()) or "none yet"
            raise AutolabelError(
                f"{self.path} has no layer {name!r}", hint=f"its layers are: {have}"
            )
        return layer

    def newest(self, names: Sequence[str]) -> Layer:
        """The first of `names`, newest stage first, that exists.

        Raises:
            AutolabelError: none does.
        """
        for name in names:
            if self.layer(name).exists:
                return self.layer(name)
        raise AutolabelError(
            f"{self.path} has no labels yet" if self.layers() else f"{self.path} is no workspace",
            hint=f'run autolabel detect {self.path} --prompt "cat" first'
            if self.layers()
            else "make one: autolabel ingest PHOTOS --workspace " + str(self.path),
        )

    @property
    def source_root(self) -> Path:
        """The folder that uris are relative to."""
        root = self.require("images").manifest.source_root
        assert root is not None  # `ingest` always records it
        return Path(root)

    def set_source_root(self, root: Path) -> None:
        """Say where the images lie now; needs the lock."""
        for name in ("scan", "images"):
            layer = self.layer(name)
            if layer.exists:
                layer.write_manifest(replace(layer.manifest, source_root=str(root)))

    def states(self) -> list[LayerState]:
        """How each layer stands against its source as that is now."""
        states: dict[str, LayerState] = {}
        for layer in self.layers():
            manifest = layer.manifest
            name = manifest.source["layer"] if manifest.source else None
            have = layer.shards()
            missing, stale = max(manifest.shards - len(have), 0), 0
            if name is not None and name in states:
                source = states[name]
                to_do = layer.to_do(source.layer)
                missing = len(set(to_do) - set(have)) + source.missing
                # What is made from a stale shard is stale before that one is mended.
                stale = max(len(set(to_do) & set(have)), min(source.stale, len(have)))
            states[layer.name] = LayerState(layer, name, len(have), missing, stale)
        return list(states.values())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for writing; creates the folder, clears leftovers of a crash.

        Raises:
            AutolabelError: another process holds it, or the folder cannot be written.
        """
        self._create()
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            with suppress(OSError):
                holder = (self.path / f"{LOCK}.holder").read_text("utf-8")
                raise AutolabelError(
                    f"{self.path} is in use by {holder}",
                    hint="wait until it has finished, or use --workspace with another folder",
                ) from None
            raise AutolabelError(
                f"{self.path} is in use by another autolabel",
                hint="wait until it has finished, or use --workspace with another folder",
            ) from None
        except OSError as e:
            raise not_writable(self.path, e) from e
        try:
            holder = f"process {os.getpid()} on {socket.gethostname()}"
            write_atomic(self.path / f"{LOCK}.holder", holder.encode())
            self._recover()
            yield
        finally:
            lock.release()

    def _create(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise not_writable(self.path, e) from e

    def _recover(self) -> None:
        """Finish or undo what a killed process left half done."""
        for pattern in (".*.tmp", "*/.*.tmp", *(f"{group}/*/.*.tmp" for group in GROUPS)):
            for stray in self.path.glob(pattern):
                stray.unlink(missing_ok=True)
        inside = [old for group in GROUPS for old in self.path.glob(f"{group}/.*.old")]
        for old in [*self.path.glob(".*.old"), *inside]:
            name = old.with_name(old.name[1:-4]).relative_to(self.path).as_posix()
            if not self.layer(name).exists:
                fresh = self._next(name)
                (fresh.path if fresh.exists else old).rename(self.path / name)
            shutil.rmtree(old, ignore_errors=True)

    def _next(self, name: str) -> Layer:
        path = self.path / name
        return Layer(path.with_name(f".{path.name}.next"), name)

    def begin(self, name: str, manifest: Manifest, *, overwrite: bool) -> Layer:
        """The layer to write into: the one that is there, or its hidden successor.

        Call `finish` when its shards are complete. Settings that differ from those of the layer
        that is there need `overwrite`; that layer stays readable until its successor is complete.

        Raises:
            AutolabelError: settings differ and `overwrite` is False.
        """
        layer, fresh = self.layer(name), self._next(name)
        if layer.exists:
            changed = differences(layer.manifest, manifest)
            if not changed:
                if fresh.path.exists():
                    shutil.rmtree(fresh.path)
                return self._bind(layer, manifest)
            if not overwrite:
                raise AutolabelError(
                    f"{name}/ was made with {'; '.join(changed)}",
                    hint="pass --overwrite to make it anew, or --workspace with another folder",
                )
            layer = fresh
            if layer.exists and differences(layer.manifest, manifest):
                shutil.rmtree(layer.path)
        return self._bind(layer, manifest)

    def _bind(self, layer: Layer, manifest: Manifest) -> Layer:
        if not layer.exists and any(layer.path.glob("part-*.parquet")):
            raise AutolabelError(
                f"{layer.path} holds shards without a manifest.json to say what made them",
                hint=f"move {layer.path} away and run the same command again",
            )
        try:
            layer.path.mkdir(parents=True, exist_ok=True)
            if not layer.exists or layer.manifest != manifest:
                layer.write_manifest(manifest)
        except OSError as e:
            raise not_writable(layer.path, e) from e
        return layer

    def finish(self, layer: Layer) -> Layer:
        """Put a complete hidden successor in the place of the layer that it replaces."""
        final = self.layer(layer.name)
        if layer.path == final.path:
            return final
        old = final.path.with_name(f".{final.path.name}.old")
        if final.path.exists():
            final.path.rename(old)
        layer.path.rename(final.path)
        shutil.rmtree(old, ignore_errors=True)
        return final


def bound_to(manifest: Manifest, source: Layer) -> Manifest:
    """The manifest of a layer made from `source` as that is now."""
    return replace(
        manifest,
        source={"layer": source.name, "fingerprint": source.fingerprint()},
        shards=len(source.shards()),
    )


def write_atomic(path: Path, data: Any) -> None:
    """Write bytes so that `path` is either as before or complete, also after a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # not every file system can sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def not_writable(path: Path, cause: OSError) -> AutolabelError:
    """The error for a folder or disk that refuses a write."""
    return AutolabelError(
        f"{path} cannot be written: {cause.strerror or cause}",
        hint="free some space or name another folder, then run the same command again",
    )
