"""Records of a layer that are shown; only the shards and the columns that it takes are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autolabel.report.layer_statistics import Sample
from autolabel.store import Layer
from autolabel.types import Record


def records_at(layer: Layer, samples: Sequence[Sample]) -> Iterator[tuple[Sample, Record]]:
    """Yield the record of each sample, shard by shard; each is read once."""
    by_shard: dict[int, list[Sample]] = {}
    for sample in samples:
        by_shard.setdefault(sample.shard, []).append(sample)
    for shard, mine in sorted(by_shard.items()):
        records = layer.read(shard)
        for sample in sorted(mine, key=lambda p: (p.row, p.index)):
            yield sample, records[sample.row]


def without_objects(layer: Layer) -> list[Record]:
    """Return every record without its objects, which are not read."""
    names = ["image_id", "uri", "width", "height", "split", "error"]
    return [
        Record(**row) for shard in layer.shards() for row in layer.table(shard, names).to_pylist()
    ]


def records_of(layer: Layer, image_ids: set[str]) -> dict[str, Record]:
    """Return image_id -> record, of those images that are usable; only their shards are read."""
    found: dict[str, Record] = {}
    for shard in layer.shards():
        ids = layer.table(shard, ["image_id"]).column(0).to_pylist()
        if not image_ids.isdisjoint(ids):
            for record in layer.read(shard):
                if record.image_id in image_ids and record.usable:
                    found.setdefault(record.image_id, record)
    return found
