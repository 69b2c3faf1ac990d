"""Embeddings of crops as an Arrow table, row by row beside the layer whose objects they show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from autolabel.ops.arrays import Vectors
from autolabel.types import Record

WHOLE = "image"
"""Key of the vector of the whole image, in `Record.vectors`; every other key is of its objects."""

CROPS = "crops"


def to_vector_table(records: Sequence[Record]) -> pa.Table:
    """Return the `CROPS` and `WHOLE` vectors of records, in order, as half-precision floats.

    Half precision moves a cosine by less than 0.001 and halves the layer.

    Args:
        records: their vectors are float32, `CROPS` of shape (objects, size), `WHOLE` of (1, size);
            one without vectors gets an empty list and no vector of the image.
    """
    crops = [_of(r, CROPS) for r in records]
    images = [_of(r, WHOLE) for r in records]
    size = max((v.shape[1] for v in (*crops, *images) if v is not None and len(v)), default=1)
    counts = [0 if v is None else len(v) for v in crops]
    flat = [v for v in crops if v is not None and len(v)]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    listed = pa.ListArray.from_arrays(pa.array(offsets), _fixed(flat, size))
    whole = [None if v is None or not len(v) else v[0].astype(np.float16) for v in images]
    return pa.table(
        {
            "image_id": pa.array([r.image_id for r in records], pa.string()),
            "error": pa.array([r.error for r in records], pa.string()),
            WHOLE: pa.array(whole, pa.list_(pa.float16(), size)),
            CROPS: listed,
        }
    )


def _of(record: Record, key: str) -> Vectors | None:
    return None if record.vectors is None else record.vectors.get(key)


def _fixed(parts: Sequence[Vectors], size: int) -> pa.FixedSizeListArray:
    flat = np.concatenate(parts).ravel() if parts else np.zeros(0)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.astype(np.float16)), size)


def from_vector_table(table: pa.Table) -> list[Record]:
    """Return records of image_id, error and vectors alone; the inverse of `to_vector_table`."""
    table = table.combine_chunks()
    if not table.num_rows:
        return []
    lists = table.column(CROPS).chunk(0)
    size = lists.type.value_type.list_size
    crops = lists.values.flatten().to_numpy().astype(np.float32).reshape(-1, size)
    offsets = lists.offsets.to_numpy() - lists.offsets[0].as_py()
    images: list[Any] = table.column(WHOLE).to_pylist()
    names = zip(
        table.column("image_id").to_pylist(), table.column("error").to_pylist(), strict=True
    )
    records = []
    for i, (image_id, error) in enumerate(names):
        vectors = {CROPS: crops[offsets[i] : offsets[i + 1]]}
        if images[i] is not None:
            vectors[WHOLE] = np.asarray(images[i], np.float32)[None]
        records.append(Record(image_id, "", error=error, vectors=vectors))
    return records
