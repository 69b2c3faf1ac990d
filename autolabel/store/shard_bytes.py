"""A shard as the bytes of a Parquet file: what is read is checked before a row is believed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from autolabel.errors import AutolabelError
from autolabel.store.digests import digest_of, read_with_stat
from autolabel.store.groups import made_by
from autolabel.store.shards import check_file, check_table
from autolabel.store.validate import check_uris
from autolabel.types import upgraded

SOURCE_DIGEST = b"autolabel.source"
"""Key in a shard's metadata: what it was made from."""
UNREADABLE = "unreadable"
"""The `source_digest` of a shard that is damaged, which fits no source."""


def encode_shard(table: pa.Table, source_digest: str | None) -> bytes:
    """Return a shard's bytes: the same for the same table and digest, wherever it is made."""
    table = table.replace_schema_metadata({SOURCE_DIGEST: (source_digest or "").encode()})
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd")
    return bytes(sink.getvalue())


def decode_shard(
    data: bytes, columns: Sequence[str] | None, *, vectors: bool, workspace: Path
) -> pa.Table:
    """Return the table of a shard's bytes, or some columns of it.

    Args:
        data: of the file.
        columns: nested ones by their path; all of them by default.
        vectors: whether its rows are embeddings, not labels.
        workspace: the folder that decides where photos may lie.

    Raises:
        OSError, ValueError, pyarrow.ArrowException: it is not a sound shard.
    """
    with pq.ParquetFile(pa.BufferReader(data)) as file:
        check_file(file, vectors=vectors)
        table = upgraded(file.read(columns=columns))
    check_table(table)
    if "uri" in table.column_names:
        check_uris(table.column("uri").to_pylist(), workspace)
    return table


def count_rows(data: bytes) -> int:
    """Return how many images a shard's bytes have.

    Raises:
        OSError, ValueError, pyarrow.ArrowException: it is not Parquet.
    """
    return int(pq.read_metadata(pa.BufferReader(data)).num_rows)


def source_digest_in(data: bytes) -> str:
    """Return what a shard says that it was made from; `UNREADABLE` where that cannot be read."""
    try:
        metadata = pq.read_schema(pa.BufferReader(data)).metadata or {}
    except (OSError, ValueError, pa.ArrowException):
        return UNREADABLE
    digest: bytes = metadata.get(SOURCE_DIGEST, b"")
    return digest.decode("utf-8", "replace")


def read_shard(path: Path, noted: str | None, layer: str, folder: int | None) -> bytes:
    """Read a shard's file, and compare its SHA-256 with what was noted when it was written.

    Args:
        path: of the file.
        noted: its SHA-256 in hexadecimal; None where none is noted, and nothing is compared.
        layer: name of the layer, for messages.
        folder: descriptor of the open folder that it is in; None to go by its path.

    Raises:
        AutolabelError: it cannot be read, or its bytes are not those that were written.
    """
    try:
        data, stat = read_with_stat(path, folder)
    except OSError as e:
        raise unreadable(path, layer, e) from e
    if noted is not None and digest_of(data, stat) != noted:
        raise AutolabelError(
            f"{path} is damaged: its bytes are not those that were written",
            hint=f"delete {path.name} and run {made_by(layer)} again with the same options: "
            "it makes only that shard anew",
        )
    return data


def unreadable(path: Path, layer: str, cause: Exception) -> AutolabelError:
    """Return the error for a shard that cannot be read."""
    return AutolabelError(
        f"{path} cannot be read: {cause}",
        hint=f"delete {path.name} and run {made_by(layer)} again with the same options",
    )
