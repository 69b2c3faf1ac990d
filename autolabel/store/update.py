"""A layer as it is to become: what of it is there, what is left, and where that is written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.store.files import not_writable, share
from autolabel.store.folder_swap import FolderSwap
from autolabel.store.layer import Layer
from autolabel.store.manifest import Manifest
from autolabel.store.manifest_file import MANIFEST

Redo = Callable[[Layer, Collection[int]], Collection[int]]
"""Of a layer's shards whose source is as it was, those to do again nevertheless."""


def redo_nothing(layer: Layer, fitting: Collection[int]) -> Collection[int]:
    """Let what has been done stay."""
    return ()


@dataclass
class LayerUpdate:
    """The way from a layer that is there, or is not, to the one that is wanted.

    On disk nothing changes before `begin`. Shards that are only missing are added to the layer in
    its place; where a shard would change or go, all is written into a hidden successor, which
    `finish` puts into the place of the layer.

    Attributes:
        final: the layer in its place.
        layer: where shards are written: `final`, or its successor.
        manifest: of the layer that is wanted.
        to_do: shards to write, in order.
        redone: those of them that `final` has, made from the same source.
        shared: shards of `final` that stay.
        kept: shards of a successor that was left half made, which stay.
        on_trial: whether a successor with other settings stays beside the layer when it is
            complete, for the next update with its settings to find.
    """

    final: Layer
    layer: Layer
    manifest: Manifest
    to_do: list[int]
    redone: frozenset[int] = frozenset()
    shared: frozenset[int] = frozenset()
    kept: frozenset[int] = frozenset()
    on_trial: bool = False
    _begun: bool = field(default=False, init=False)

    @property
    def in_place(self) -> bool:
        """Whether the layer only grows."""
        return self.layer.path == self.final.path

    def begin(self) -> Layer:
        """Make the folder and its manifest; return the layer to write the shards of `to_do` into.

        Raises:
            AutolabelError: it cannot be written.
        """
        try:
            if self.in_place:
                self._bind(self.final, self.kept)
            else:
                self._begin_successor()
        except OSError as e:
            raise not_writable(self.layer.path, e) from e
        self._begun = True
        return self.layer

    def _begin_successor(self) -> None:
        layer = self.layer
        if not layer.exists or layer.manifest.changes_to(self.manifest):
            shutil.rmtree(layer.path, ignore_errors=True)
        layer.path.mkdir(parents=True, exist_ok=True)
        for index in set(layer.shards()) - self.kept:
            layer.shard_path(index).unlink()
        self._bind(layer, self.kept)
        for index in sorted(self.shared):
            share(self.final.shard_path(index), layer.shard_path(index))
        if not self.final.manifest.changes_to(self.manifest):
            self._take_journals()

    def _take_journals(self) -> None:
        """Take what is there of shards that were stopped half way; other journals are not used."""
        for index in self.to_do:
            there, here = self.final.journal_path(index), self.layer.journal_path(index)
            if there.is_file() and not there.is_symlink() and not here.exists():
                share(there, here)

    def _bind(self, layer: Layer, sound: Collection[int]) -> None:
        """Write the manifest, with what is noted of the sound shards."""
        layer.path.mkdir(parents=True, exist_ok=True)
        noted = Manifest(self.manifest.stage)
        for holder, indices in ((self.final, self.shared), (layer, sound)):
            if holder.exists:
                noted = holder.manifest.noting(indices, noted)
        manifest = replace(
            self.manifest, digests=noted.digests, made_from=noted.made_from, unread=noted.unread
        )
        if not layer.exists or layer.manifest != manifest:
            layer.write_manifest(manifest)

    def note(self) -> None:
        """Note what was written, as far as the disk lets; for a run that ends before its end."""
        if self._begun:
            with suppress(OSError, AutolabelError):
                self.layer.note_shards()

    def finish(self) -> Layer:
        """Put the complete layer in its place, or leave it hidden if it is on trial; return it.

        Raises:
            AutolabelError: it cannot be written.
        """
        try:
            self.layer.note_shards()
            if not self.in_place:
                if self.on_trial and self.final.manifest.changes_to(self.manifest):
                    return self.layer
                self._carry_over()
                swap_of(self.final).publish()
        except OSError as e:
            raise not_writable(self.layer.path, e) from e
        return self.final

    def _carry_over(self) -> None:
        """Keep files beside the shards, such as what was fitted on them, with the same settings."""
        if not self.final.exists or self.final.manifest.changes_to(self.manifest):
            return
        for path in sorted(self.final.path.iterdir()):
            target = self.layer.path / path.name
            mine = path.suffix == ".parquet" or path.name.startswith(".") or not path.is_file()
            if not mine and not target.exists():
                share(path, target)


def plan_update(
    final: Layer,
    manifest: Manifest,
    wanted: Mapping[int, str],
    *,
    overwrite: bool,
    redo: Redo = redo_nothing,
) -> LayerUpdate:
    """Plan it as `Workspace.plan_update` says."""
    fresh = Layer(swap_of(final).next, final.name)
    shared: frozenset[int] = frozenset()
    redone: frozenset[int] = frozenset()
    if not final.exists:
        if any(final.path.glob("part-*.parquet")):
            raise AutolabelError(
                f"{final.path} holds shards without a manifest.json to say what made them",
                hint=f"move {final.path} away and run the same command again",
            )
        return LayerUpdate(final, final, manifest, sorted(wanted))
    changed = final.manifest.changes_to(manifest)
    if changed and not overwrite:
        raise AutolabelError(
            f"{final.name}/ was made with {'; '.join(changed)}",
            hint="pass --overwrite to make it anew, or --workspace with another folder",
        )
    if not changed:
        fitting = _fitting(final, wanted)
        redone = fitting & frozenset(redo(final, fitting))
        shared = fitting - redone
        if shared == frozenset(final.shards()):
            return LayerUpdate(final, final, manifest, sorted(set(wanted) - shared), kept=shared)
    kept: frozenset[int] = frozenset()
    if fresh.exists and not fresh.manifest.changes_to(manifest):
        kept = _fitting(fresh, wanted)
        kept -= frozenset(redo(fresh, kept))
    shared -= kept
    to_do = sorted(set(wanted) - shared - kept)
    return LayerUpdate(final, fresh, manifest, to_do, redone & set(to_do), shared, kept)


def _fitting(layer: Layer, wanted: Mapping[int, str]) -> frozenset[int]:
    """Return the shards that were made from what is there now."""
    return frozenset(
        index for index in layer.shards() if layer.source_digest(index) == wanted.get(index)
    )


def swap_of(final: Layer) -> FolderSwap:
    """Return the swap that replaces a layer; a successor with all its shards is whole."""

    def is_whole(path: Path) -> bool:
        successor = Layer(path, final.name)
        return successor.exists and len(successor.shards()) >= successor.manifest.shards

    return FolderSwap(final.path, MANIFEST, is_whole)


def bound_to(manifest: Manifest, source: Layer) -> Manifest:
    """Return the manifest of a layer made from `source` as that is now."""
    return replace(
        manifest,
        source={"layer": source.name, "fingerprint": source.fingerprint()},
        shards=len(source.shards()),
    )
