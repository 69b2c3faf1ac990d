"""What goes through a stage together, and reading it on threads before it is its turn."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from autolabel.engine.base import Preparing, Stage, Task
from autolabel.engine.journal import Journal
from autolabel.engine.pixels import PixelReader
from autolabel.types import Record


@dataclass
class Shard:
    """A shard on its way.

    Attributes:
        task, records: what it is made of; results take the place of the records.
        wanted: how many of the records the stage works on.
        ahead: how many batches are not done yet.
        failed: errors of the images on which the stage itself failed.
        journal: what is kept of it before it is written.
    """

    task: Task
    records: list[Record]
    wanted: int
    ahead: int
    failed: list[str]
    journal: Journal


@dataclass(frozen=True)
class Batch:
    """Rows of one shard that go through the stage together; none where it wants none of them."""

    shard: Shard
    rows: tuple[int, ...]


AHEAD_BYTES = 1 << 30
"""Pixels as RGB that may wait for the model, in batches after the one that it works on."""

Prepared = tuple[Batch, list[tuple[int, Record]]]


def ahead(
    pool: ThreadPoolExecutor,
    stage: Stage,
    reader: PixelReader | None,
    batches: Iterator[Batch],
    limit: int,
) -> Iterator[Prepared]:
    """Read and prepare records on threads, in the order of the batches.

    At most `limit` and a batch are ahead; of large images as many as `AHEAD_BYTES` hold, and a
    batch.
    """
    waiting: deque[tuple[Batch, list[Future[Record]]]] = deque()
    held = held_bytes = 0
    for batch in batches:
        records = batch.shard.records
        while waiting and held_bytes + _pixel_bytes(batch) > AHEAD_BYTES:
            held -= len(waiting[0][0].rows)
            held_bytes -= _pixel_bytes(waiting[0][0])
            yield _taken(*waiting.popleft())
        ready = [pool.submit(_prepare, stage, reader, records[i]) for i in batch.rows]
        waiting.append((batch, ready))
        held += len(batch.rows)
        held_bytes += _pixel_bytes(batch)
        while waiting and held > limit:
            held -= len(waiting[0][0].rows)
            held_bytes -= _pixel_bytes(waiting[0][0])
            yield _taken(*waiting.popleft())
    while waiting:
        yield _taken(*waiting.popleft())


def _pixel_bytes(batch: Batch) -> int:
    """Count them of the images as RGB; nothing of those whose size is not known yet."""
    records = (batch.shard.records[i] for i in batch.rows)
    return sum(3 * record.width * record.height for record in records)


def _taken(batch: Batch, futures: list[Future[Record]]) -> Prepared:
    return batch, [(i, future.result()) for i, future in zip(batch.rows, futures, strict=True)]


def _prepare(stage: Stage, reader: PixelReader | None, record: Record) -> Record:
    try:
        ready = record if reader is None else reader.read(record)
        return stage.prepare(ready) if isinstance(stage, Preparing) else ready
    except (OSError, ValueError) as e:
        return record.failed(str(e) or type(e).__name__)
