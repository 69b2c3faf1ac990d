"""What shards hold, counted from their columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields

import pyarrow as pa

from autolabel.store.vectors import CROPS

LABEL_COLUMNS = ("error", "split", "objects.list.element.keep")
VECTOR_COLUMNS = ("error", CROPS)
CLASS_COLUMNS = ("objects.list.element.label", "objects.list.element.keep")


@dataclass(frozen=True)
class Counts:
    """How many images (by split), objects, kept objects and failed images a layer holds."""

    images: int = 0
    objects: int = 0
    kept: int = 0
    errors: int = 0
    splits: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        )

    @classmethod
    def of(cls, table: pa.Table) -> Counts:
        """Count those of one shard's `LABEL_COLUMNS` or `VECTOR_COLUMNS`."""
        images = table.num_rows
        errors = images - table.column("error").null_count
        if CROPS in table.column_names:
            crops = sum(len(chunk.flatten()) for chunk in table.column(CROPS).chunks)
            return cls(images, crops, crops, errors)
        keep = table.column("objects").combine_chunks().flatten().field("keep")
        splits = Counter(table.column("split").to_pylist())
        return cls(images, len(keep), keep.true_count, errors, splits)


def count_classes(tables: Iterable[pa.Table]) -> dict[str, tuple[int, int]]:
    """Return how many labels of each class are kept and how many rejected, by its name.

    Args:
        tables: the `CLASS_COLUMNS` of shards.
    """
    kept, all_of = Counter[str](), Counter[str]()
    for table in tables:
        objects = table.column("objects").combine_chunks().flatten()
        label = objects.field("label")
        all_of.update(label.to_pylist())
        kept.update(label.filter(objects.field("keep")).to_pylist())
    return {name: (kept[name], n - kept[name]) for name, n in sorted(all_of.items())}
