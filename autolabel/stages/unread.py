"""Photos that a stage could not read: those that can be by now, and a folder that is away."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autolabel.engine.base import Task
from autolabel.engine.pixels import ALIKE, photos_gone
from autolabel.ops.images import can_be_read
from autolabel.sources import from_uri
from autolabel.store import Layer
from autolabel.types import POOL, Record, is_unread


@dataclass(frozen=True)
class Unread:
    """Images of a source that a layer made from it could not read."""

    source: Layer
    root: Path

    def rows(self, layer: Layer, index: int) -> list[tuple[int, Path, str]]:
        """Return row, file and id of those in a shard that the stage is meant to read."""
        columns = ["uri", "image_id", "split", "error"]
        given = self.source.table(index, columns).to_pylist()
        errors = layer.table(index, ["error"]).column(0).to_pylist()
        return [
            (i, from_uri(row["uri"], self.root), row["image_id"])
            for i, (row, error) in enumerate(zip(given, errors, strict=True))
            if is_unread(error) and row["error"] is None and row["split"] == POOL
        ]

    def readable(self, layer: Layer, index: int) -> frozenset[int]:
        """Return the rows of a shard that can be read by now."""
        rows = self.rows(layer, index)
        return frozenset(i for i, path, image_id in rows if can_be_read(path, image_id))

    def again(self, layer: Layer, fitting: Collection[int]) -> set[int]:
        """Return the shards with such rows, of those that fit."""
        return {i for i in fitting if layer.has_unread(i) and self.readable(layer, i)}

    def count(self, layer: Layer) -> int:
        """Count them in all."""
        return sum(len(self.rows(layer, i)) for i in layer.shards() if layer.has_unread(i))

    def task(self, layer: Layer, index: int) -> Task:
        """Return a shard of which only the rows that can be read by now are to be done."""
        only = self.readable(layer, index)
        read = partial(_merged, self.source, layer, index, only)
        return Task(index, len(only), read, self.source.digest(index), only)


def _merged(source: Layer, layer: Layer, index: int, fresh: frozenset[int]) -> list[Record]:
    """Return the rows `fresh` from `source`, the others as `layer` has them."""
    pairs = zip(source.read(index), layer.read(index), strict=True)
    return [given if i in fresh else made for i, (given, made) in enumerate(pairs)]


def check_photos(source: Layer, indices: Sequence[int], root: Path) -> None:
    """See that the photos are not away as a whole, before a model is loaded for them."""
    rows = (row for i in indices for row in source.table(i, ["uri", "split", "error"]).to_pylist())
    uris = [row["uri"] for row in rows if row["error"] is None and row["split"] == POOL]
    some = uris[:: max(len(uris) // ALIKE, 1)]
    if len(some) >= ALIKE and not any(from_uri(uri, root).exists() for uri in some):
        raise photos_gone(root, f"{len(some)} of them were looked for, and all are missing")
