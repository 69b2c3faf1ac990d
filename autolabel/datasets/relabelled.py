"""A layer of labels whose classes are called otherwise, as it is read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from autolabel.ops.relabel import relabelled
from autolabel.store import Layer
from autolabel.types import Record


class RelabelledLayer(Layer):
    """A layer with other names for its classes; see `autolabel.ops.relabel.relabelled`.

    Args:
        layer: the labels.
        new: old name -> new name, None where the class is dropped.
    """

    def __init__(self, layer: Layer, new: Mapping[str, str | None]) -> None:
        super().__init__(layer.path, layer.name)
        self.adopt_snapshot(layer)
        self.before = layer
        self.new = new

    def records(self) -> Iterator[Record]:
        """Yield all records in order, one shard in memory at a time."""
        for record in self.before.records():
            yield replace(record, objects=relabelled(record.objects, self.new))
