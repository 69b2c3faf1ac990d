from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autolabel.engine import local
from autolabel.engine.base import Progress, Task
from autolabel.errors import AutolabelError
from autolabel.store import Layer, Manifest, Workspace
from autolabel.types import Objects, Record
from tests.conftest import make_photos
from tests.layers import begin


@dataclass
class Box:
    """Gives every image one box; fails as its fields say."""

    unreadable: set[str] = field(default_factory=set)
    breaks_on: set[str] = field(default_factory=set)
    batches: list[list[str]] = field(default_factory=list)
    alive: int = 0
    most_alive: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def wants(self, record: Record) -> bool:
        return record.usable

    def prepare(self, record: Record) -> Record:
        if record.uri in self.unreadable:
            raise OSError("gone")
        with self.lock:
            self.alive += 1
            self.most_alive = max(self.most_alive, self.alive)
        return replace(record, pixels=np.zeros((1, 1, 3), np.uint8))

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        self.batches.append([r.uri for r in batch])
        for record in batch:
            assert record.pixels is not None
            if record.uri in self.breaks_on:
                raise RuntimeError("out of\nmemory")
        with self.lock:
            self.alive -= len(batch)
        one = Objects.create(["cat"], [0.5], [[0, 0, 4, 4]])
        return [replace(r, objects=one) for r in batch]


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    return begin(Workspace(tmp_path), "detect", Manifest("detect"), overwrite=False)


def task(index: int, records: list[Record]) -> Task:
    return Task(index, len(records), partial(list, records), "digest")


def shard(start: int, count: int) -> list[Record]:
    return [Record(str(i), str(i), 8, 8) for i in range(start, start + count)]


def run(stage: Box, layer: Layer, tasks: list[Task], batch_size: int = 4) -> Progress:
    progress = Progress()
    local.run(lambda: stage, layer, tasks, progress, batch_size=batch_size, workers=3)
    return progress


def test_every_image_keeps_its_place_and_batches_stay_within_a_shard(layer: Layer) -> None:
    stage = Box()
    progress = run(stage, layer, [task(0, shard(0, 10)), task(1, shard(10, 3))])
    assert [len(b) for b in stage.batches] == [4, 4, 2, 3]
    assert [r.uri for r in layer.records()] == [str(i) for i in range(13)]
    assert all(len(r.objects) == 1 and r.pixels is None for r in layer.records())
    assert (progress.images, progress.objects, progress.shards) == (13, 13, 2)
    assert layer.source_digest(0) == "digest"


def test_where_nobody_says_the_stage_chooses_its_batch_size(layer: Layer) -> None:
    @dataclass
    class Choosy(Box):
        batch_size: int = 3

    stage, other = Choosy(), Box()
    run(stage, layer, [task(0, shard(0, 8))], batch_size=0)
    run(other, layer, [task(1, shard(0, 9))], batch_size=0)
    assert [len(b) for b in stage.batches] == [3, 3, 2]
    assert [len(b) for b in other.batches] == [8, 1]
    run(told := Choosy(), layer, [task(2, shard(0, 8))], batch_size=8)
    assert [len(b) for b in told.batches] == [8]


def test_unwanted_records_pass_through_untouched(layer: Layer) -> None:
    rows = [
        Record("a", "a", 8, 8, split="leak"),
        Record("b", "b", 8, 8),
        Record("c", "c", error="empty file"),
    ]
    stage = Box()
    run(stage, layer, [task(0, rows), task(1, [rows[0]]), task(2, [])])
    assert stage.batches == [["b"]]
    kept = layer.read(0)
    assert [kept[0], kept[2]] == [rows[0], rows[2]]
    assert layer.read(1) == [rows[0]]
    assert layer.read(2) == []


def test_an_image_that_cannot_be_read_costs_only_itself(layer: Layer) -> None:
    progress = run(Box(unreadable={"1"}), layer, [task(0, shard(0, 3))])
    assert [r.error for r in layer.read(0)] == [None, "gone", None]
    assert progress.errors == 1


def test_an_image_that_breaks_the_model_costs_only_itself(layer: Layer) -> None:
    progress = run(Box(breaks_on={"2"}), layer, [task(0, shard(0, 4))])
    assert [r.error for r in layer.read(0)] == [None, None, "RuntimeError: out of memory", None]
    assert (progress.objects, progress.errors) == (3, 1)


def test_a_shard_of_which_every_image_fails_is_left_out_and_the_others_go_on(layer: Layer) -> None:
    stage = Box(breaks_on={"0", "1"})
    with pytest.raises(AutolabelError, match="1 of 2 shards of detect/ failed, first 0: Runtime"):
        run(stage, layer, [task(0, shard(0, 2)), task(1, shard(2, 2))])
    assert layer.shards() == [1]


def test_a_shard_that_cannot_be_read_does_not_stop_the_others(layer: Layer) -> None:
    def broken() -> list[Record]:
        raise AutolabelError("part-00000.parquet cannot be read", hint="")

    with pytest.raises(AutolabelError, match="part-00000"):
        run(Box(), layer, [Task(0, 1, broken), task(1, shard(0, 2))])
    assert layer.shards() == [1]


def test_few_images_are_in_memory_at_a_time(layer: Layer) -> None:
    stage = Box()
    run(stage, layer, [task(i, shard(50 * i, 50)) for i in range(4)])
    assert stage.most_alive <= 2 * 4 + 3 + 1  # two batches, the workers, one on its way


def test_fewer_large_images_are_in_memory_at_a_time(layer: Layer) -> None:
    stage = Box()
    side = 13_000  # 507 MB of pixels each, were they read
    large = [replace(record, width=side, height=side) for record in shard(0, 20)]
    run(stage, layer, [task(0, large)], batch_size=1)
    assert stage.most_alive <= 3
    assert sum(map(len, stage.batches)) == 20


def test_without_tasks_nothing_is_loaded(layer: Layer) -> None:
    def never() -> Box:
        raise AssertionError

    local.run(never, layer, [], Progress(), batch_size=1)


def test_a_full_disk_stops_at_once_and_says_so(
    layer: Layer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Layer, "write", full)
    stage = Box()
    with pytest.raises(AutolabelError, match="No space left on device"):
        run(stage, layer, [task(i, shard(4 * i, 4)) for i in range(50)])
    assert len(stage.batches) < 10
    assert layer.shards() == []


def test_ctrl_c_keeps_the_finished_shards_and_leaves_no_half(layer: Layer) -> None:
    class Interrupted(Box):
        def __call__(self, batch: Sequence[Record]) -> list[Record]:
            if batch[0].uri == "9":
                raise KeyboardInterrupt
            return super().__call__(batch)

    with pytest.raises(KeyboardInterrupt):
        run(Interrupted(), layer, [task(i, shard(3 * i, 3)) for i in range(5)])
    assert layer.shards() == [0, 1, 2]
    assert [p for p in layer.path.iterdir() if p.name.startswith(".")] == []


def test_no_thread_imports_pandas(tmp_path: Path) -> None:
    """Arrow imports it when it first makes an array, which may not be in the thread that writes."""
    (tmp_path / "pandas").mkdir()
    (tmp_path / "pandas" / "__init__.py").write_text(
        "import pathlib, threading\n"
        f"with open({str(tmp_path / 'seen')!r}, 'a') as file:\n"
        "    file.write(threading.current_thread().name)\n"
        "__version__ = '0.0.1'\n"
    )
    photos = make_photos(tmp_path / "photos", 2)
    command = ["ingest", str(photos[0].parent), "-w", str(tmp_path / "ws"), "--workers", "2"]
    path = os.pathsep.join([str(tmp_path), os.environ["PYTHONPATH"]])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "autolabel", *command],
        env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "seen").read_text() == "MainThread"
