"""One look over a layer's columns: counts by class and reason, and which labels to show.

Masks and evidence are not read, one shard is in memory at a time, and of each kind no more labels
are kept than are shown; so a layer of any size takes little memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from autolabel.ops.arrays import Bools, Floats, Ints
from autolabel.store import Layer
from autolabel.types import POOL

_OBJECT = "objects.list.element."
_READ = ("uri", "split", "error", *(f"{_OBJECT}{name}" for name in ("label", "keep", "reason")))
_MOST_ERRORS = 100
_MOST_FAILED = 200


@dataclass(frozen=True, order=True)
class Sample:
    """A label that is shown: its draw, which decides that, and where it is."""

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
    shown: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    images_shown: list[Sample] = field(default_factory=list)

    @property
    def rejected_by_rule(self) -> Counter[str]:
        """Return rule -> labels that it rejected, the one with most first."""
        return _summed((rule, count) for (rule, _), count in self.rejected.items())

    @property
    def rejected_by_class(self) -> Counter[str]:
        """Return class -> labels of it that were rejected, by whatever rule."""
        return _summed((label, count) for (_, label), count in self.rejected.items())


def _summed(pairs: Iterable[tuple[str, int]]) -> Counter[str]:
    totals: Counter[str] = Counter()
    for key, count in pairs:
        totals[key] += count
    return Counter(dict(totals.most_common()))


def layer_statistics(layer: Layer, *, crops: int, images: int) -> LayerStatistics:
    """Count a layer, and draw at most so many labels of each class and rule, and images."""
    total = LayerStatistics()
    for number in layer.shards():
        table = layer.table(number, list(_READ)).combine_chunks()
        if table.num_rows:
            shard = _Columns.of(number, table)
            draw = np.random.default_rng([0, number])
            _add_errors(total, table)
            _add_labels(total, shard, draw.random(len(shard.rows)), crops)
            _add_images(total, shard, draw.random(table.num_rows), images)
    return total


@dataclass(frozen=True)
class _Columns:
    """The columns of one shard.

    Attributes:
        usable: whether labels were looked for, by image.
        lengths: how many labels it has, by image.
        rows: row of the image, by label.
        keep, label, rule: by label; a label that is kept has an empty rule.
    """

    number: int
    usable: Bools
    lengths: Ints
    rows: Ints
    keep: Bools
    label: Any
    rule: Any

    @classmethod
    def of(cls, number: int, table: pa.Table) -> _Columns:
        objects = table.column("objects").chunk(0)
        flat, lengths = objects.flatten(), objects.value_lengths().fill_null(0).to_numpy()
        usable = pc.and_(pc.equal(table.column("split"), POOL), pc.is_null(table.column("error")))
        return cls(
            number,
            usable=usable.to_numpy(zero_copy_only=False).astype(bool),
            lengths=lengths,
            rows=np.repeat(np.arange(table.num_rows), lengths),
            keep=flat.field("keep").to_numpy(zero_copy_only=False).astype(bool),
            label=flat.field("label"),
            rule=pc.replace_substring_regex(flat.field("reason"), "(?s):.*", ""),
        )

    def samples(self, labels: Ints, draws: Floats, most: int) -> list[Sample]:
        """Return those of some labels whose draws are the lowest."""
        chosen = _lowest(labels, draws, most)
        starts = np.concatenate([[0], np.cumsum(self.lengths)])
        rows = self.rows[chosen]
        at = zip(draws[chosen], rows, chosen - starts[rows], strict=True)
        return [Sample(float(draw), self.number, int(row), int(index)) for draw, row, index in at]


def _add_errors(total: LayerStatistics, table: pa.Table) -> None:
    bad = table.filter(pc.is_valid(table.column("error"))).select(["uri", "error"]).to_pylist()
    for row in bad:
        error = row["error"]
        if len(total.failed) < _MOST_FAILED:
            total.failed.append((row["uri"], error))
        known = error in total.errors or len(total.errors) < _MOST_ERRORS
        total.errors[error if known else "other"] += 1


def _add_labels(total: LayerStatistics, shard: _Columns, draws: Floats, most: int) -> None:
    labels, label_ids = _coded(shard.label)
    rules, rule_ids = _coded(shard.rule)
    for i, label in enumerate(labels):
        mine = np.flatnonzero(shard.keep & (label_ids == i))
        total.kept[label] += len(mine)
        _merge(total.shown, ("", label), shard.samples(mine, draws, most), most)
    for k, rule in enumerate(rules):
        mine = np.flatnonzero(~shard.keep & (rule_ids == k))
        if not len(mine):
            continue
        for i, count in enumerate(np.bincount(label_ids[mine], minlength=len(labels))):
            if count:
                total.rejected[rule, labels[i]] += int(count)
        _merge(total.shown, (rule, ""), shard.samples(mine, draws, most), most)


def _add_images(total: LayerStatistics, shard: _Columns, draws: Floats, most: int) -> None:
    kept = np.bincount(shard.rows[shard.keep], minlength=len(shard.usable))
    total.images += len(shard.usable)
    total.usable += int(shard.usable.sum())
    total.empty += int((shard.usable & (kept == 0)).sum())
    mine = _lowest(np.flatnonzero(shard.usable & (shard.lengths > 0)), draws, most)
    fresh = [Sample(float(draws[row]), shard.number, int(row), 0) for row in mine]
    total.images_shown = sorted([*total.images_shown, *fresh])[:most]


def _coded(column: Any) -> tuple[list[str], Ints]:
    """Return the values of a column of text, and each row's place among them."""
    coded = column.fill_null("rejected").dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy().astype(np.int64)


def _lowest(mine: Ints, draws: Floats, most: int) -> Ints:
    return mine[np.argsort(draws[mine])[:most]]


def _merge(
    shown: dict[tuple[str, str], list[Sample]], key: tuple[str, str], fresh: list[Sample], most: int
) -> None:
    if fresh:
        shown[key] = sorted([*shown.get(key, []), *fresh])[:most]
