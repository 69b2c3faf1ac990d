"""The engine for one machine: reads ahead on threads, batches on the device, writes behind."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

from autolabel.engine.base import Begin, Progress, Stage, Task
from autolabel.errors import AutolabelError
from autolabel.store import REFUSED, Layer, not_writable
from autolabel.types import Record


@dataclass
class _Shard:
    """A shard on its way.

    Attributes:
        task, records: what it is made of; results take the place of the records.
        wanted: how many of the records the stage works on.
        ahead: how many of those have not reached a batch yet.
        failed: errors of the images on which the stage itself failed.
    """

    task: Task
    records: list[Record]
    wanted: int
    ahead: int
    failed: list[str]


_Item = tuple[_Shard, int]
_Prepared = tuple[_Shard, int, Record]
_Writing = deque[tuple[int, Future[None]]]


def run(
    make_stage: Callable[[], Stage],
    layer: Layer | Begin,
    tasks: Sequence[Task],
    progress: Progress,
    *,
    batch_size: int,
    workers: int = 0,
) -> None:
    """Run a stage over shards and write each as soon as it is done, in order.

    Memory holds at most two batches of prepared images and a few shards of labels, whatever the
    number of images. A batch never spans two shards, so what a shard holds does not depend on
    where an earlier run stopped. An image that fails gets an `error`; a shard that cannot be read
    or of which every image fails is left out, and the others go on.

    Args:
        make_stage: called once, and only if there is something to do.
        layer: where the shards are written; a call that gives it comes after `make_stage`.
        tasks: the shards to do.
        progress: updated after every batch.
        batch_size: records per call of the stage.
        workers: threads that prepare records; 0 is one per core.

    Raises:
        AutolabelError: the disk refuses, or some shards could not be done.
        KeyboardInterrupt: passed on after the last complete shard is on disk.
    """
    if not tasks:
        return
    stage = make_stage()
    layer = layer if isinstance(layer, Layer) else layer()
    workers = workers or cores()
    with (
        ThreadPoolExecutor(workers, "prepare") as pool,
        ThreadPoolExecutor(1, "write") as writer,
    ):
        writing: _Writing = deque()
        try:
            ahead = _ahead(pool, stage, _items(tasks, stage, progress), batch_size + workers)
            for shard, batch in _batches(ahead, batch_size):
                _work(stage, shard, batch, progress)
                if not shard.ahead:
                    _submit(writer, writing, layer, shard, progress)
            _drain(writing, layer, progress, leave=0)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    raise_failures(layer, tasks, progress)


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
            hint="the other shards are done; mend the cause and run the same command again",
        )


def cores() -> int:
    """Processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _items(tasks: Iterable[Task], stage: Stage, progress: Progress) -> Iterator[_Item]:
    """Every wanted record of every shard; a shard without any gives one item with row -1."""
    for task in tasks:
        try:
            records = task.read()
        except AutolabelError as e:
            progress.failures.append((task.index, str(e)))
            continue
        rows = range(len(records)) if task.only is None else sorted(task.only)
        wanted = [i for i in rows if stage.wants(records[i])]
        shard = _Shard(task, records, len(wanted), len(wanted), [])
        yield from ((shard, i) for i in wanted or [-1])


def _ahead(
    pool: ThreadPoolExecutor, stage: Stage, items: Iterator[_Item], limit: int
) -> Iterator[_Prepared]:
    """Prepare records on threads, at most `limit` ahead, and give them in order."""
    waiting: deque[tuple[_Shard, int, Future[Record] | None]] = deque()
    for shard, i in items:
        future = pool.submit(_prepare, stage, shard.records[i]) if i >= 0 else None
        waiting.append((shard, i, future))
        if len(waiting) > limit:
            yield _taken(*waiting.popleft())
    while waiting:
        yield _taken(*waiting.popleft())


def _taken(shard: _Shard, i: int, future: Future[Record] | None) -> _Prepared:
    return shard, i, future.result() if future else Record("", "")


def _prepare(stage: Stage, record: Record) -> Record:
    try:
        return stage.prepare(record)
    except (OSError, ValueError) as e:
        return record.failed(str(e) or type(e).__name__)


def _batches(
    prepared: Iterator[_Prepared], size: int
) -> Iterator[tuple[_Shard, list[tuple[int, Record]]]]:
    """Cut the stream into batches within one shard; the last of a shard may be short."""
    batch: list[tuple[int, Record]] = []
    for shard, i, record in prepared:
        if i >= 0:
            batch.append((i, record))
            shard.ahead -= 1
        if not shard.ahead or len(batch) == size:
            yield shard, batch
            batch = []


def _work(stage: Stage, shard: _Shard, batch: list[tuple[int, Record]], progress: Progress) -> None:
    good = [(i, record) for i, record in batch if record.error is None]
    start = time.perf_counter()
    called = _call(stage, [record for _, record in good])
    progress.model_seconds += time.perf_counter() - start
    shard.failed += [result.error for result in called if result.error is not None]
    results = dict(batch) | dict(zip((i for i, _ in good), called, strict=True))
    for i, result in results.items():
        shard.records[i] = replace(result, pixels=None)
        progress.images += 1
        progress.objects += len(result.objects)
        progress.errors += result.error is not None
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
    future = writer.submit(layer.write, task.index, shard.records, task.source_digest)
    writing.append((task.index, future))
    _drain(writing, layer, progress, leave=2)


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
