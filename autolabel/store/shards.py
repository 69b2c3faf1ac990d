"""What a shard must hold before its rows are believed; the check is cheap for what it saves."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from autolabel.ops.arrays import Ints
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.masks import fits
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import ACTIONS, OBJECT, SCHEMA, is_objects

SHARD = re.compile(r"part-(\d{5}|[1-9]\d{5,8})\.parquet")
"""Names of shards' files."""
MOST_ROWS = 100_000
"""Images of a shard; `--shard-size` allows as many."""
MOST_VALUES = 100_000_000
"""Values of a column of a shard."""
FAR = 1e7
"""Pixels; no corner of a box lies farther off."""

_IMAGE_ID = r"^[0-9A-Za-z_-]{1,64}$"
_PHASH = r"^[0-9a-f]{1,256}$"
_REQUIRED = frozenset({"image_id", "uri", "width", "height", "split", "objects", CROPS})
_OF_OBJECTS = frozenset({"label", "score", "xyxy", "keep", "scores"})


def shard_numbers(names: Iterable[str]) -> list[int]:
    """Return the numbers of shards, by their files' names, in order.

    >>> shard_numbers(["part-00010.parquet", "part-00002.parquet", "part-2.parquet", "a.json"])
    [2, 10]
    """
    return sorted(int(found[1]) for found in map(SHARD.fullmatch, names) if found)


def check_file(file: pq.ParquetFile, *, vectors: bool) -> None:
    """See that a shard has the columns of its kind, and no more values than memory holds.

    Raises:
        ValueError: it has not.
    """
    if file.metadata.num_rows > MOST_ROWS:
        raise ValueError(f"{file.metadata.num_rows} rows are too many")
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    for group in groups:
        if any(group.column(i).num_values > MOST_VALUES for i in range(group.num_columns)):
            raise ValueError("a column has too many values")
    schema = file.schema_arrow
    expected = _vector_types(schema) if vectors else {f.name: f.type for f in SCHEMA}
    for name, kind in expected.items():
        if schema.names.count(name) != 1:
            raise ValueError(f"it has no column {name}")
        found = schema.field(name).type
        if not (is_objects(found) if name == "objects" else found == kind):
            raise ValueError(f"its column {name} holds {str(schema.field(name).type)[:80]}")


def _vector_types(schema: pa.Schema) -> dict[str, pa.DataType]:
    size = 1
    if WHOLE in schema.names and pa.types.is_fixed_size_list(schema.field(WHOLE).type):
        size = schema.field(WHOLE).type.list_size
    vector = pa.list_(pa.float16(), size)
    text = pa.string()
    return {"image_id": text, "error": text, WHOLE: vector, CROPS: pa.list_(vector)}


def check_table(table: pa.Table) -> None:
    """See that the columns that were read hold what they may.

    Raises:
        ValueError: they do not; the message says which and why.
    """
    table.validate(full=True)
    for name in table.column_names:
        if name in _REQUIRED and table.column(name).null_count:
            raise ValueError(f"a {name} is missing")
    if "uri" in table.column_names and pc.any(pc.match_substring(table["uri"], "\0")).as_py():
        raise ValueError("a uri with a null character")
    for name, pattern in (("image_id", _IMAGE_ID), ("phash", _PHASH)):
        if name in table.column_names:
            matching = pc.match_substring_regex(table.column(name), pattern)
            if pc.any(pc.invert(matching)).as_py():
                raise ValueError(f"a wrong {name}")
    if {"width", "height", "error"} <= set(table.column_names):
        _check_sizes(table)
    if "objects" in table.column_names:
        _check_objects(table)


def _check_sizes(table: pa.Table) -> None:
    width, height = (_numbers(table, name) for name in ("width", "height"))
    if (width < 0).any() or (height < 0).any() or (width * height > MAX_PIXELS).any():
        raise ValueError("an image of an impossible size")
    empty = (width == 0) | (height == 0)
    if (empty & table.column("error").is_null().to_numpy()).any():
        raise ValueError("an image without size and without an error")


def _numbers(table: pa.Table, name: str) -> Ints:
    numbers: Ints = table.column(name).to_numpy().astype(np.int64)
    return numbers


def _check_objects(table: pa.Table) -> None:
    lists = table.column("objects").combine_chunks()
    objects = lists.flatten()
    if objects.null_count:
        raise ValueError("an object is missing")
    for field in objects.type:
        if field.name in _OF_OBJECTS and objects.field(field.name).null_count:
            raise ValueError(f"the {field.name} of an object is missing")
    names = {field.name for field in objects.type}
    if names < {field.name for field in OBJECT}:
        return  # some of their columns alone
    corners = objects.field("xyxy").flatten()
    if corners.null_count or len(corners) != 4 * len(objects):
        raise ValueError("a corner of a box is missing")
    boxes = corners.to_numpy().reshape(-1, 4)
    if not (np.abs(boxes) < FAR).all() or (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError("a box whose corners are out of range or order")
    if not np.isfinite(objects.field("score").to_numpy()).all():
        raise ValueError("a score that is not finite")
    actions = objects.field("correction").drop_null().field("action")
    if pc.any(pc.invert(pc.is_in(actions, pa.array(ACTIONS)))).as_py():
        raise ValueError("a correction that is none")
    if {"width", "height"} <= set(table.column_names):
        _check_masks(table, lists, objects.field("mask"))


def _check_masks(table: pa.Table, lists: pa.ListArray, column: pa.Array) -> None:
    there = column.is_valid().to_numpy(zero_copy_only=False)
    pixels = _numbers(table, "width") * _numbers(table, "height")
    owner = np.repeat(np.arange(len(pixels)), pc.list_value_length(lists).to_numpy())
    wrong = ~fits(column.drop_null().to_pylist(), pixels[owner[there]])
    if wrong.any():
        raise ValueError(f"a mask that does not fit its image ({int(wrong.sum())} of them)")
