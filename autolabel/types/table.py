"""Records as Arrow tables, and back."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from autolabel.types.objects import CORRECTION, OBJECT, Correction, Objects, column_of
from autolabel.types.record import Record

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("error", pa.string()),
        ("group", pa.string()),
        ("note", pa.string()),
        ("phash", pa.string()),
        ("objects", pa.list_(OBJECT)),
    ]
)
"""One row per image; see `Record` for what each column holds."""


_OLD_OBJECT = pa.struct([field for field in OBJECT if field.name != "correction"])
_SCALARS = tuple(name for name in SCHEMA.names if name != "objects")


def is_objects(kind: pa.DataType) -> bool:
    """Tell whether a column of that type holds objects, also as written before corrections were."""
    return kind in (pa.list_(OBJECT), pa.list_(_OLD_OBJECT))


def upgraded(table: pa.Table) -> pa.Table:
    """Return a table with the columns of today: what was written before has no corrections."""
    at = table.schema.get_field_index("objects")
    if at < 0 or table.schema.field(at).type != pa.list_(_OLD_OBJECT):
        return table
    lists = table.column(at).combine_chunks()
    if lists.null_count:
        return table  # which is refused
    values = lists.flatten()
    arrays = [values.field(field.name) for field in _OLD_OBJECT]
    arrays.append(pa.nulls(len(values), CORRECTION))
    offsets = pa.array(
        np.concatenate([[0], np.cumsum(lists.value_lengths().to_numpy())]), pa.int32()
    )
    objects = pa.StructArray.from_arrays(arrays, fields=list(OBJECT))
    column = pa.ListArray.from_arrays(offsets, objects)
    return table.set_column(at, SCHEMA.field("objects"), column)


def to_table(records: Sequence[Record]) -> pa.Table:
    """Return records as an Arrow table of `SCHEMA`, in the same order."""
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(r, name) for r in records], SCHEMA.field(name).type)
        for name in _SCALARS
    }
    counts = [len(r.objects) for r in records]
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    columns["objects"] = pa.ListArray.from_arrays(offsets, _objects_array(records))
    return pa.table(columns, schema=SCHEMA)


def _objects_array(records: Sequence[Record]) -> pa.StructArray:
    def joined(name: str) -> list[Any]:
        return [v for r in records for v in getattr(r.objects, name)]

    boxes = [r.objects.xyxy for r in records if len(r.objects)]
    flat = np.concatenate(boxes).ravel() if boxes else np.zeros(0, np.float32)
    arrays = []
    for f in OBJECT:
        if f.name == "xyxy":
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), 4))
        elif f.name == "scores":
            pairs = [sorted(s.items()) for s in joined("scores")]
            arrays.append(pa.array(pairs, f.type))
        elif f.name == "correction":
            arrays.append(pa.array([c and vars(c) for c in joined("correction")], f.type))
        else:
            arrays.append(pa.array(joined(f.name), f.type))
    return pa.StructArray.from_arrays(arrays, fields=list(OBJECT))


def from_table(table: pa.Table) -> list[Record]:
    """Return the records of an Arrow table of `SCHEMA`; the inverse of `to_table`."""
    table = table.combine_chunks()
    scalars: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in _SCALARS}
    rows = [Objects.empty()] * table.num_rows
    if table.num_rows:
        rows = _split_objects(table.column("objects").chunk(0))
    return [
        Record(**{name: scalars[name][i] for name in _SCALARS}, objects=rows[i])
        for i in range(table.num_rows)
    ]


def _split_objects(lists: pa.ListArray) -> list[Objects]:
    offsets = lists.offsets.to_numpy()
    values = lists.values
    n = len(values)
    columns: dict[str, npt.NDArray[Any]] = {}
    for f in OBJECT:
        array = values.field(f.name)
        if f.name == "xyxy":
            columns[f.name] = array.flatten().to_numpy().reshape(n, 4)
        elif f.name == "scores":
            columns[f.name] = column_of([dict(pairs) for pairs in array.to_pylist()], n)
        elif f.name == "correction":
            columns[f.name] = column_of([c and Correction(**c) for c in array.to_pylist()], n)
        elif f.name in ("score", "keep"):
            columns[f.name] = array.to_numpy(zero_copy_only=False)
        else:
            columns[f.name] = column_of(array.to_pylist(), n)
    return [
        Objects(**{name: column[a:b] for name, column in columns.items()})
        for a, b in itertools.pairwise(offsets)
    ]
