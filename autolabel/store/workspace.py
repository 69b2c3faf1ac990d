"""A workspace: the layers of one folder, and the one process that writes to it."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError
from autolabel.store.files import not_writable, write_atomic
from autolabel.store.layer import EMBED, STUDENT, Layer
from autolabel.store.manifest import Manifest, differences

GROUPS = (EMBED, STUDENT)
LOCK = ".lock"


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
