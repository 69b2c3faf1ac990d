"""One look over a layer's columns: counts by class and reason, and which labels to show.

Masks and evidence are not read, one shard is in memory at a time, and of each kind no more labels
are kept than are shown; so a layer of any size takes little memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from autolabel.store import Layer
from autolabel.types import POOL, Record

_OBJECT = "objects.list.element."
_COLUMNS = ("uri", "split", "error", *(f"{_OBJECT}{name}" for name in ("label", "keep", "reason")))
_MOST_ERRORS = 100
_MOST_FAILED = 200

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Place:
    """Where a label is: its draw decides whether it is shown."""

    draw: float
    shard: int
    row: int
    index: int


@dataclass
class LayerStatistics:
    """Counts of a layer.

    Attributes:
        images, usable: images, and those that labels were looked for on.
        empty: usable images without a kept label.
        kept: class -> labels.
        rejected: (rule, class) -> labels.
        errors: what is wrong -> images.
        failed: (uri, what is wrong) of the first of these images.
        shown: (rule, "") or ("", class) -> labels drawn from all of them, each as likely.
        images_shown: usable images with labels, drawn likewise.
    """

    images: int = 0
    usable: int = 0
    empty: int = 0
    kept: Counter[str] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    shown: dict[tuple[str, str], list[Place]] = field(default_factory=dict)
    images_shown: list[Place] = field(default_factory=list)

    @property
    def rejected_by_rule(self) -> Counter[str]:
        """Rule -> labels that it rejected, the one with most first."""
        return _summed((rule, count) for (rule, _), count in self.rejected.items())

    @property
    def rejected_by_class(self) -> Counter[str]:
        """Class -> labels of it that were rejected, by whatever rule."""
        return _summed((label, count) for (_, label), count in self.rejected.items())


def _summed(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for key, count in pairs:
        totals[key] += count
    return Counter(dict(totals.most_common()))


def layer_statistics(layer: Layer, *, crops: int, images: int) -> LayerStatistics:
    """Count a layer, and draw at most so many labels of each class and rule, and images."""
    total = LayerStatistics()
    for shard in layer.shards():
        table = layer.table(shard, list(_COLUMNS)).combine_chunks()
        if table.num_rows:
            _add(total, table, shard, crops, images)
    return total


def _add(total: LayerStatistics, table: pa.Table, shard: int, crops: int, images: int) -> None:
    lists = table.column("objects").chunk(0)
    flat = lists.flatten()
    lengths = lists.value_lengths().fill_null(0).to_numpy()
    rows = np.repeat(np.arange(table.num_rows), lengths)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    keep = flat.field("keep").to_numpy(zero_copy_only=False).astype(bool)
    usable = pc.and_(pc.equal(table.column("split"), POOL), pc.is_null(table.column("error")))
    usable = usable.to_numpy(zero_copy_only=False).astype(bool)
    held = np.bincount(rows[keep], minlength=table.num_rows)
    total.images += table.num_rows
    total.usable += int(usable.sum())
    total.empty += int((usable & (held == 0)).sum())
    bad = table.filter(pc.is_valid(table.column("error"))).select(["uri", "error"]).to_pylist()
    for row in bad:
        error = row["error"]
        if len(total.failed) < _MOST_FAILED:
            total.failed.append((row["uri"], error))
        known = error in total.errors or len(total.errors) < _MOST_ERRORS
        total.errors[error if known else "other"] += 1

    draw = np.random.default_rng([0, shard])
    chances = draw.random(len(keep))

    def places(chosen: Ints) -> list[Place]:
        at = zip(chances[chosen], rows[chosen], chosen - starts[rows[chosen]], strict=True)
        return [Place(float(chance), shard, int(row), int(index)) for chance, row, index in at]

    labels, label_ids = _coded(flat.field("label"))
    rules, rule_ids = _coded(pc.replace_substring_regex(flat.field("reason"), "(?s):.*", ""))
    for i, label in enumerate(labels):
        mine = np.flatnonzero(keep & (label_ids == i))
        total.kept[label] += len(mine)
        _merge(total.shown, ("", label), places(_lowest(mine, chances, crops)), crops)
    for k, rule in enumerate(rules):
        mine = np.flatnonzero(~keep & (rule_ids == k))
        if not len(mine):
            continue
        for i, count in enumerate(np.bincount(label_ids[mine], minlength=len(labels))):
            if count:
                total.rejected[rule, labels[i]] += int(count)
        _merge(total.shown, (rule, ""), places(_lowest(mine, chances, crops)), crops)
    chances = draw.random(table.num_rows)
    mine = _lowest(np.flatnonzero(usable & (lengths > 0)), chances, images)
    fresh = [Place(float(chances[row]), shard, int(row), 0) for row in mine]
    total.images_shown = sorted([*total.images_shown, *fresh])[:images]


def _coded(column: Any) -> tuple[list[str], Ints]:
    """The values of a column of text, and each row's place among them."""
    coded = column.fill_null("rejected").dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _lowest(mine: Ints, chances: npt.NDArray[np.float64], most: int) -> Ints:
    return mine[np.argsort(chances[mine])[:most]]


def _merge(
    shown: dict[tuple[str, str], list[Place]], key: tuple[str, str], fresh: list[Place], most: int
) -> None:
    if fresh:
        shown[key] = sorted([*shown.get(key, []), *fresh])[:most]


def records_at(layer: Layer, places: list[Place]) -> Iterator[tuple[Place, Record]]:
    """The records of places; each shard is read once."""
    by_shard: dict[int, list[Place]] = {}
    for place in places:
        by_shard.setdefault(place.shard, []).append(place)
    for shard, mine in sorted(by_shard.items()):
        records = layer.read(shard)
        for place in sorted(mine, key=lambda p: (p.row, p.index)):
            yield place, records[place.row]


def outlines(layer: Layer) -> list[Record]:
    """Every record without its objects."""
    names = ["image_id", "uri", "width", "height", "split", "error"]
    return [
        Record(**row) for shard in layer.shards() for row in layer.table(shard, names).to_pylist()
    ]


def records_of(layer: Layer, image_ids: set[str]) -> dict[str, Record]:
    """image_id -> record, of the images that are usable; only their shards are read."""
    found: dict[str, Record] = {}
    for shard in layer.shards():
        ids = layer.table(shard, ["image_id"]).column(0).to_pylist()
        if not image_ids.isdisjoint(ids):
            for record in layer.read(shard):
                if record.image_id in image_ids and record.usable:
                    found.setdefault(record.image_id, record)
    return found
