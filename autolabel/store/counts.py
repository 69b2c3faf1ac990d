"""What shards hold, counted from their columns."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields

import pyarrow as pa

from autolabel.store.vectors import CROPS

LABEL_COLUMNS = ("error", "split", "objects.list.element.keep")
VECTOR_COLUMNS = ("error", CROPS)


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
        """Those of one shard's `LABEL_COLUMNS` or `VECTOR_COLUMNS`."""
        images = table.num_rows
        errors = images - table.column("error").null_count
        if CROPS in table.column_names:
            crops = sum(len(chunk.flatten()) for chunk in table.column(CROPS).chunks)
            return cls(images, crops, crops, errors)
        keep = table.column("objects").combine_chunks().flatten().field("keep")
        splits = Counter(table.column("split").to_pylist())
        return cls(images, len(keep), keep.true_count, errors, splits)
