"""The engine for one machine: reads ahead on threads, batches on the device, writes behind."""

from __future__ import annotations

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pyarrow as pa

from autolabel.engine.ahead import Batch, Shard, ahead
from autolabel.engine.base import Begin, Progress, Sorted, Stage, Task, batch_size_of
from autolabel.engine.journal import Journal, clear
from autolabel.engine.pixels import PixelReader
from autolabel.errors import AutolabelError
from autolabel.store import REFUSED, Layer, not_writable
from autolabel.types import Record

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
    pa.array([])  # imports pandas, where there is one: here, and not in the thread that writes
    with (
        ThreadPoolExecutor(workers, "prepare") as pool,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        writing: _Writing = deque()
        working: Shard | None = None
        try:
            batches = _batches(tasks, stage, layer, progress, batch_size)
            for batch, prepared in ahead(pool, stage, reader, batches, batch_size + workers):
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
    """Count the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _batches(
    tasks: Iterable[Task], stage: Stage, layer: Layer, progress: Progress, size: int
) -> Iterator[Batch]:
    """Make the batches of every shard, without the rows that an earlier run finished.

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
        shard = Shard(task, records, len(wanted), len(left), [], journal)
        yield from (Batch(shard, batch) for batch in left)


def _plan(
    stage: Stage, records: Sequence[Record], wanted: Sequence[int], size: int
) -> list[list[int]]:
    """Return rows in batches of at most `size`, each of one key where the stage has keys."""
    key = stage.batch_key if isinstance(stage, Sorted) else lambda record: None
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for row in wanted:
        alike[key(records[row])].append(row)
    return [rows[i : i + size] for rows in alike.values() for i in range(0, len(rows), size)]


def _work(stage: Stage, shard: Shard, batch: list[tuple[int, Record]], progress: Progress) -> None:
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
    shard: Shard,
    progress: Progress,
) -> None:
    task = shard.task
    if shard.failed and len(shard.failed) == shard.wanted:
        progress.failures.append((task.index, shard.failed[0]))
        return
    future = writer.submit(_write, layer, shard)
    writing.append((task.index, future))
    _drain(writing, layer, progress, leave=2)


def _write(layer: Layer, shard: Shard) -> None:
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
