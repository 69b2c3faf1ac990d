"""The engine for one machine: reads ahead on threads, batches on the device, writes behind."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from autolabel.engine.base import Begin, Preparing, Progress, Sorted, Stage, Task, batch_size_of
from autolabel.engine.journal import Journal, clear
from autolabel.engine.pixels import PixelReader
from autolabel.errors import AutolabelError
from autolabel.store import REFUSED, Layer, not_writable
from autolabel.types import Record


@dataclass
class _Shard:
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
class _Batch:
    """Rows of one shard that go through the stage together; none where it wants none of them."""

    shard: _Shard
    rows: tuple[int, ...]


AHEAD_BYTES = 1 << 30
"""Pixels as RGB that may wait for the model, in batches after the one that it works on."""

_Prepared = tuple[_Batch, list[tuple[int, Record]]]
_Writing = deque[tuple[int, Future[None]]]


def run(
    make_stage: Callable[[], Stage],
    layer: Layer | Begin,
    tasks: Sequence[Task],
    progress: Progress,
    *,
    batch_size: int,
    workers: int = 0,
    photos: Path | None = None,
) -> None:
    """Run a stage over shards and write each as soon as it is done, in order.

    Memory holds at most two batches of prepared images and a few shards of labels, whatever the
    number of images. Which images are in a batch depends on their shard, the stage and the batch
    size alone, never on other shards or on where an earlier run stopped. What is finished of a
    shard is kept in a `Journal`, so that a stop costs no more than some seconds and the batch at
    work. An image that fails gets an `error`; a shard that cannot be read or of which every image
    fails is left out, and the others go on.

    Args:
        make_stage: called once, and only if there is something to do.
        layer: where the shards are written; a call that gives it comes after `make_stage`.
        tasks: the shards to do.
        progress: updated after every batch.
        batch_size: records per call of the stage; 0 is what suits it.
        workers: threads that prepare records; 0 is one per core.
        photos: folder of the photos whose pixels are read for the stage; None where it needs none.

    Raises:
        AutolabelError: the disk refuses, or some shards could not be done.
        KeyboardInterrupt: passed on after all that is finished is on disk.
    """
    if tasks:
        stage = make_stage()
        written = layer if isinstance(layer, Layer) else layer()
        reader = None if photos is None else PixelReader(photos)
        do(stage, reader, written, tasks, progress, batch_size=batch_size, workers=workers)
        raise_failures(written, tasks, progress)
        clear(written)


def do(
    stage: Stage,
    reader: PixelReader | None,
    layer: Layer,
    tasks: Sequence[Task],
    progress: Progress,
    *,
    batch_size: int,
    workers: int,
) -> None:
    """Do some of the shards of a layer; those that fail are told in `progress` alone."""
    workers = workers or cores()
    batch_size = batch_size_of(stage, batch_size)
    with (
        ThreadPoolExecutor(workers, "prepare") as pool,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        writing: _Writing = deque()
        working: _Shard | None = None
        try:
            batches = _batches(tasks, stage, layer, progress, batch_size)
            for batch, prepared in _ahead(pool, stage, reader, batches, batch_size + workers):
                working = batch.shard
                _work(stage, working, prepared, progress)
                if not working.ahead:
                    _submit(writer, writing, layer, working, progress)
                    working = None
            _drain(writing, layer, progress, leave=0)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            if working is not None:
                with suppress(AutolabelError):  # what stops us is said, not what follows from it
                    working.journal.write()
            raise


def raise_failures(layer: Layer, tasks: Sequence[Task], progress: Progress) -> None:
    """Say which shards failed, if any did.

    Raises:
        AutolabelError: some did.
    """
    if progress.failures:
        index, reason = progress.failures[0]
        raise AutolabelError(
            f"{len(progress.failures)} of {len(tasks)} shards of {layer.name}/ failed, "
            f"first {index}: {reason}",
            hint="the other shards are done; fix the cause and run the same command again",
        )


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _batches(
    tasks: Iterable[Task], stage: Stage, layer: Layer, progress: Progress, size: int
) -> Iterator[_Batch]:
    """The batches of every shard, without the rows that an earlier run finished.

    A shard of which nothing is left to do gives one batch without rows.
    """
    for task in tasks:
        try:
            records = task.read()
        except AutolabelError as e:
            progress.failures.append((task.index, str(e)))
            continue
        rows = range(len(records)) if task.only is None else sorted(task.only)
        wanted = [i for i in rows if stage.wants(records[i])]
        plan = _plan(stage, records, wanted, size)
        journal = Journal(layer, task, records, stage)
        done = {row: result for row, result in journal.read().items() if row in {*wanted}}
        left = [tuple(row for row in batch if row not in done) for batch in plan]
        left = [batch for batch in left if batch] or [()]
        for row, result in done.items():
            records[row] = result
        _count(progress, done.values(), resumed=len(done))
        shard = _Shard(task, records, len(wanted), len(left), [], journal)
        yield from (_Batch(shard, batch) for batch in left)


def _plan(
    stage: Stage, records: Sequence[Record], wanted: Sequence[int], size: int
) -> list[list[int]]:
    """Rows in batches of at most `size`, each of one key where the stage has keys."""
    key = stage.batch_key if isinstance(stage, Sorted) else lambda record: None
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for row in wanted:
        alike[key(records[row])].append(row)
    return [rows[i : i + size] for rows in alike.values() for i in range(0, len(rows), size)]


def _ahead(
    pool: ThreadPoolExecutor,
    stage: Stage,
    reader: PixelReader | None,
    batches: Iterator[_Batch],
    limit: int,
) -> Iterator[_Prepared]:
    """Read and prepare records on threads, in the order of the batches.

    At most `limit` and a batch are ahead; of large images as many as `AHEAD_BYTES` hold, and a
    batch.
    """
    waiting: deque[tuple[_Batch, list[Future[Record]]]] = deque()
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


def _pixel_bytes(batch: _Batch) -> int:
    """Of the images as RGB; nothing of those whose size is not known yet."""
    records = (batch.shard.records[i] for i in batch.rows)
    return sum(3 * record.width * record.height for record in records)


def _taken(batch: _Batch, futures: list[Future[Record]]) -> _Prepared:
    return batch, [(i, future.result()) for i, future in zip(batch.rows, futures, strict=True)]


def _prepare(stage: Stage, reader: PixelReader | None, record: Record) -> Record:
    try:
        ready = record if reader is None else reader.read(record)
        return stage.prepare(ready) if isinstance(stage, Preparing) else ready
    except (OSError, ValueError) as e:
        return record.failed(str(e) or type(e).__name__)


def _work(stage: Stage, shard: _Shard, batch: list[tuple[int, Record]], progress: Progress) -> None:
    shard.journal.start()
    good = [(i, record) for i, record in batch if record.error is None]
    start = time.perf_counter()
    called = _call(stage, [record for _, record in good])
    progress.model_seconds += time.perf_counter() - start
    shard.failed += [result.error for result in called if result.error is not None]
    results = dict(batch) | dict(zip((i for i, _ in good), called, strict=True))
    results = {i: replace(result, pixels=None) for i, result in results.items()}
    for i, result in results.items():
        shard.records[i] = result
    shard.ahead -= 1
    shard.journal.add(results)
    _count(progress, results.values())


def _count(progress: Progress, results: Iterable[Record], resumed: int = 0) -> None:
    for result in results:
        progress.images += 1
        progress.objects += len(result.objects)
        progress.errors += result.error is not None
    progress.resumed += resumed
    progress.changed(progress)


def _call(stage: Stage, batch: list[Record]) -> list[Record]:
    """Call the stage; if it fails on a batch, image by image, so that one costs only itself."""
    if not batch:
        return []
    try:
        return stage(batch)
    except AutolabelError:
        raise
    except Exception as e:
        if len(batch) == 1:
            return [batch[0].failed(f"{type(e).__name__}: {' '.join(str(e).split())[:300]}")]
        return [result for record in batch for result in _call(stage, [record])]


def _submit(
    writer: ThreadPoolExecutor,
    writing: _Writing,
    layer: Layer,
    shard: _Shard,
    progress: Progress,
) -> None:
    task = shard.task
    if shard.failed and len(shard.failed) == shard.wanted:
        progress.failures.append((task.index, shard.failed[0]))
        return
    future = writer.submit(_write, layer, shard)
    writing.append((task.index, future))
    _drain(writing, layer, progress, leave=2)


def _write(layer: Layer, shard: _Shard) -> None:
    layer.write(shard.task.index, shard.records, shard.task.source_digest)
    shard.journal.remove()


def _drain(writing: _Writing, layer: Layer, progress: Progress, *, leave: int) -> None:
    while len(writing) > leave:
        index, future = writing.popleft()
        try:
            future.result()
        except OSError as e:
            if e.errno in REFUSED:
                raise not_writable(layer.path, e) from e
            progress.failures.append((index, str(e)))
        else:
            progress.shards += 1
            progress.changed(progress)
