"""A workspace: the layers of one folder, and the one process that writes to it."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError, InUseError
from autolabel.reading import read_regular
from autolabel.store.files import not_writable, write_atomic
from autolabel.store.folder_swap import FolderSwap, unsettled_in
from autolabel.store.groups import GROUPS
from autolabel.store.layer import Layer
from autolabel.store.manifest import Manifest
from autolabel.store.states import LayerState, states_of
from autolabel.store.update import LayerUpdate, Redo, plan_update, redo_nothing, swap_of
from autolabel.store.validate import check_folder, check_sources

LOCK = ".lock"
_LONGEST_HOLDER = 4096  # bytes


class Workspace:
    """A folder of layers, each in a folder of its own name.

    Args:
        path: of the folder, which need not exist.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._strays: list[str] | None = None

    def check(self) -> list[str]:
        """See that its files are what they should be; return the names of those that only look it.

        Raises:
            AutolabelError: a link, a pipe or the like is in the place of one.
        """
        if self._strays is None:
            self._strays = check_folder(self.path, GROUPS)
        return self._strays

    def layer(self, name: str) -> Layer:
        """Return the layer of that name, which need not exist."""
        layer = self._layer(name)
        if not layer.exists and swap_of(layer).is_half_done:
            self._settle()
        return layer

    def layers(self) -> list[Layer]:
        """Return the layers that exist, sources before what was made from them, then by name."""
        if not self.path.is_dir():
            return []
        self.check()
        if self._half_swapped():
            self._settle()
        patterns = ["[!.]*/manifest.json", *(f"{g}/[!.]*/manifest.json" for g in GROUPS)]
        folders = [p.parent for pattern in patterns for p in self.path.glob(pattern)]
        names = [p.relative_to(self.path).as_posix() for p in sorted(folders)]
        found = {name: self.layer(name) for name in names}
        check_sources({name: layer.manifest for name, layer in found.items()}, self.path)

        def depth(layer: Layer) -> int:
            source = layer.manifest.source
            seen = found.get(source["layer"]) if source else None
            return 0 if seen is None else 1 + depth(seen)

        return sorted(found.values(), key=lambda layer: (depth(layer), layer.name))

    def require(self, name: str) -> Layer:
        """Return the layer of that name.

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
        """Return the first of `names`, newest stage first, that exists.

        Raises:
            AutolabelError: none does.
        """
        for name in names:
            if self.layer(name).exists:
                return self.layer(name)
        if self.layers():
            message, hint = "has no labels yet", f'run autolabel detect {self.path} --prompt "cat"'
        else:
            message = "is not a workspace"
            hint = f"make one: autolabel ingest PHOTOS --workspace {self.path}"
        raise AutolabelError(f"{self.path} {message}", hint=hint)

    @property
    def source_root(self) -> Path:
        """The folder that uris are relative to."""
        layer = self.require("images")
        root = layer.manifest.source_root
        if not root:
            raise AutolabelError(
                f"{layer.path / 'manifest.json'} does not say where the images lie",
                hint="say where they are: --source-root DIR",
            )
        return Path(root)

    def set_source_root(self, root: Path) -> None:
        """Note where the images lie now; needs the lock."""
        for name in ("scan", "images"):
            layer = self.layer(name)
            if layer.exists:
                layer.write_manifest(replace(layer.manifest, source_root=str(root)))

    def states(self) -> list[LayerState]:
        """Return how each layer stands against its source as that is now."""
        return states_of(self.layers())

    def state(self, name: str) -> LayerState:
        """Return how one layer stands; only those that it comes from are looked at.

        Raises:
            AutolabelError: there is none of that name.
        """
        return states_of(reversed(self.ancestry(self.require(name))))[-1]

    def ancestry(self, layer: Layer) -> list[Layer]:
        """Return a layer and those that it was made from, the newest first."""
        found = [layer]
        while (source := found[-1].manifest.source) is not None:
            before = self.layer(source["layer"])
            if not before.exists or before.name in [one.name for one in found]:
                break
            found.append(before)
        return found

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the workspace for writing; creates the folder, clears leftovers of a crash.

        Raises:
            InUseError: another process holds it.
            AutolabelError: the folder cannot be written.
        """
        self._create()
        self.check()
        lock = FileLock(self.path / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise InUseError(
                f"{self.path} is in use by {self._holder()}",
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

    def _holder(self) -> str:
        """Return which process holds the lock, in words."""
        try:
            return read_regular(self.path / f"{LOCK}.holder", _LONGEST_HOLDER).decode("utf-8")
        except (OSError, ValueError):
            return "another autolabel"

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
        for swap in self._unsettled():
            swap.recover()

    def _unsettled(self) -> list[FolderSwap]:
        """Return the swaps of layers that have left something."""
        finals = [path for group in ("", *GROUPS) for path in unsettled_in(self.path / group)]
        return [swap_of(self._layer(path.relative_to(self.path).as_posix())) for path in finals]

    def _half_swapped(self) -> bool:
        return any(swap.is_half_done for swap in self._unsettled())

    def _settle(self) -> None:
        """Let a swap come to its end, whether it is under way or was killed; readers lock nothing.

        On a workspace that cannot be written to, what was killed stays as it is.
        """
        for _ in range(50):
            if not self._half_swapped():
                return
            with suppress(Timeout, OSError), FileLock(self.path / LOCK, timeout=0):
                self._recover()
            time.sleep(0.02)

    def _layer(self, name: str) -> Layer:
        return Layer(self.path / name, name)

    def plan_update(
        self,
        name: str,
        manifest: Manifest,
        wanted: Mapping[int, str],
        *,
        overwrite: bool,
        redo: Redo = redo_nothing,
    ) -> LayerUpdate:
        """Plan what is left to do for a layer; nothing is written yet.

        Settings that differ from those of the layer that is there need `overwrite`. That layer
        stays as it is until all that differs is complete.

        Args:
            name: of the layer.
            manifest: what it is to be bound to.
            wanted: shard -> what its `source_digest` must be.
            overwrite: whether other settings may replace those of the layer that is there.
            redo: which shards of a layer are to be done again although they fit.

        Raises:
            AutolabelError: settings differ and `overwrite` is False, or nothing is wanted of a
                layer that has shards.
        """
        final = self.layer(name)
        if not wanted and final.shards():
            raise AutolabelError(
                f"there is nothing to make {name}/ of, and it holds labels",
                hint=f"autolabel status {self.path} shows the layers",
            )
        return plan_update(final, manifest, wanted, overwrite=overwrite, redo=redo)
