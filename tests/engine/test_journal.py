"""A stop costs seconds and not the shard, and the layer ends as if there had been none."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from autolabel.config import DetectConfig, EngineConfig, IngestConfig
from autolabel.engine import journal, local
from autolabel.engine.base import Progress, Task
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id
from autolabel.ops.masks import encode
from autolabel.stages.detect import Detect, detect
from autolabel.stages.ingest import ingest
from autolabel.stages.scan import Scan
from autolabel.store import Layer, Manifest, Workspace
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Objects, Record
from tests import layers
from tests.conftest import make_photos

WIDTHS = [40, 60, 40, 30, 60, 40, 40, 30, 40, 60]
BATCHES = [["0", "2", "5"], ["6", "8"], ["1", "4", "9"], ["3", "7"]]
"""The rows of one width together, at most three at a time."""


@dataclass
class Boxes:
    """Boxes that depend on the photo; stops at one batch as its fields say."""

    stop_at: int = -1
    how: type[BaseException] = KeyboardInterrupt
    vectors: bool = False
    unreadable: frozenset[str] = frozenset()
    batches: list[list[str]] = field(default_factory=list)

    def wants(self, record: Record) -> bool:
        return record.usable

    def batch_key(self, record: Record) -> int:
        return record.width

    def prepare(self, record: Record) -> Record:
        if record.uri in self.unreadable:
            raise OSError("gone")
        return record

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        if len(self.batches) == self.stop_at:
            raise self.how
        self.batches.append([record.uri for record in batch])
        assert len({record.width for record in batch}) == 1
        return [self.one(record) for record in batch]

    def one(self, record: Record) -> Record:
        rng = np.random.default_rng(int(record.uri))
        count = int(rng.integers(0, 4))
        if self.vectors:
            crops = rng.normal(size=(count, 5)).astype(np.float32)
            return replace(record, vectors={CROPS: crops, WHOLE: rng.normal(size=(1, 5))})
        (whole,) = encode(np.ones((1, record.height, record.width), bool))
        found = Objects.create(
            ["cat"] * count,
            rng.uniform(size=count),
            np.sort(rng.uniform(0, 30, (count, 2, 2)), axis=1).reshape(count, 4),
            mask=[whole if i else None for i in range(count)],
            prompt=["Cat"] * count,
            scores=[{"detector": 0.1, "b": float(i)} for i in range(count)],
        )
        return replace(record, objects=found)


def rows() -> list[Record]:
    return [Record(f"id{i}", str(i), width, 20) for i, width in enumerate(WIDTHS)]


def task(source_digest: str | None = "digest") -> Task:
    return Task(0, len(WIDTHS), rows, source_digest)


def begin(folder: Path, name: str = "detect", **settings: object) -> Layer:
    return layers.begin(Workspace(folder), name, Manifest(name, settings), overwrite=False)


def run(stage: Boxes, layer: Layer, tasks: Sequence[Task] = (task(),), size: int = 3) -> Progress:
    progress = Progress()
    local.run(lambda: stage, layer, tasks, progress, batch_size=size, workers=2)
    return progress


def stopped(folder: Path, at: int, name: str = "detect", **given: object) -> Layer:
    """A layer whose only shard was stopped at one batch, politely."""
    layer = begin(folder, name)
    with pytest.raises(KeyboardInterrupt):
        run(Boxes(at, vectors=name.startswith("embed"), **given), layer)  # type: ignore[arg-type]
    assert layer.shards() == []
    return layer


@pytest.fixture(params=["detect", "embed/clip"])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("at", range(4))
def test_a_stopped_shard_goes_on_where_it_was_and_ends_the_same(
    tmp_path: Path, name: str, at: int
) -> None:
    vectors = name.startswith("embed")
    whole = begin(tmp_path / "whole", name)
    stage = Boxes(vectors=vectors)
    run(stage, whole)
    assert stage.batches == BATCHES
    layer = stopped(tmp_path / "stopped", at, name)
    stage = Boxes(vectors=vectors)
    progress = run(stage, layer)
    assert stage.batches == BATCHES[at:], "what was done is done again"
    assert layer.shard_path(0).read_bytes() == whole.shard_path(0).read_bytes()
    assert (progress.images, progress.resumed) == (10, sum(map(len, BATCHES[:at])))
    assert not list(layer.path.glob(".*"))


def test_it_can_be_stopped_again_and_again(tmp_path: Path) -> None:
    whole, layer = begin(tmp_path / "whole"), begin(tmp_path / "stopped")
    run(Boxes(), whole)
    for batch in BATCHES[:3]:
        stage = Boxes(1)
        with pytest.raises(KeyboardInterrupt):
            run(stage, layer)
        assert stage.batches == [batch]
    stage = Boxes()
    run(stage, layer)
    assert stage.batches == BATCHES[3:]
    assert layer.digest(0) == whole.digest(0)


def test_another_batch_size_uses_what_is_there(tmp_path: Path) -> None:
    layer = stopped(tmp_path, 2)
    stage = Boxes()
    run(stage, layer, size=2)
    assert sorted(uri for batch in stage.batches for uri in batch) == ["1", "3", "4", "7", "9"]


def test_what_failed_is_tried_again(tmp_path: Path) -> None:
    layer = stopped(tmp_path, 2, unreadable=frozenset({"2", "8"}))
    stage = Boxes()
    run(stage, layer)
    assert stage.batches == [["2"], ["8"], *BATCHES[2:]]
    assert [record.error for record in layer.read(0)] == [None] * 10


@pytest.mark.parametrize("cut", [1, 20, 60, 105, 200, 500])
def test_a_torn_end_is_passed_over(tmp_path: Path, cut: int) -> None:
    whole, layer = begin(tmp_path / "whole"), stopped(tmp_path / "torn", 2)
    run(Boxes(), whole)
    path = layer.journal_path(0)
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(KeyboardInterrupt):
        run(Boxes(2), layer)  # writes after the sound part
    stage = Boxes()
    run(stage, layer)
    assert stage.batches == BATCHES[2:]
    assert layer.digest(0) == whole.digest(0)


def test_a_changed_byte_is_never_taken_for_a_result(tmp_path: Path) -> None:
    whole, layer = begin(tmp_path / "whole"), stopped(tmp_path / "bad", 2)
    run(Boxes(), whole)
    sound = layer.journal_path(0).read_bytes()
    for place in range(0, len(sound), 97):
        bad = bytearray(sound)
        bad[place] ^= 4
        layer.journal_path(0).write_bytes(bytes(bad))
        run(Boxes(), layer)
        assert layer.digest(0) == whole.digest(0)


def test_results_that_cannot_be_are_found_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a workspace that someone has tampered with."""
    with monkeypatch.context() as patch:
        patch.setattr("tests.engine.test_journal.encode", lambda masks: [b"endless"])
        layer = stopped(tmp_path, 3)
    stage = Boxes()
    run(stage, layer)
    assert sum(map(len, stage.batches)) > 4
    assert {mask for r in layer.records() for mask in r.objects.mask} != {b"endless"}


@pytest.mark.parametrize("differs", ["settings", "model", "source", "images"])
def test_a_journal_of_anything_else_is_passed_over(tmp_path: Path, differs: str) -> None:
    layer = stopped(tmp_path, 3)
    tasks = [task()]
    manifest = layer.manifest
    if differs == "settings":
        layer.write_manifest(replace(manifest, settings={"box_threshold": 0.1}))
    elif differs == "model":
        layer.write_manifest(replace(manifest, model={"name": "m", "revision": "2"}))
    elif differs == "source":
        tasks = [task("other")]
    else:
        tasks = [Task(0, 10, lambda: [replace(r, image_id=f"x{r.uri}") for r in rows()], "digest")]
    stage = Boxes()
    run(stage, layer, tasks)
    assert stage.batches == BATCHES


def test_what_is_quick_never_writes_a_journal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal.Journal, "_append", lambda self: pytest.fail("written"))
    run(Boxes(), begin(tmp_path))


def test_what_is_slow_is_on_disk_after_every_batch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(0, 10_000, 34))
    monkeypatch.setattr(journal.time, "monotonic", lambda: next(clock))
    layer = begin(tmp_path)
    sizes: list[int] = []

    class Slow(Boxes):
        def __call__(self, batch: Sequence[Record]) -> list[Record]:
            path = layer.journal_path(0)
            sizes.append(path.stat().st_size if path.exists() else 0)
            return super().__call__(batch)

    run(Slow(), layer)
    assert sizes[0] == 0
    assert np.all(np.diff(sizes) > 0)


def test_readers_see_nothing_of_it(tmp_path: Path) -> None:
    layer = stopped(tmp_path, 3)
    assert layer.journal_path(0).is_file()
    assert layer.counts().images == 0
    assert [x.name for x in Workspace(tmp_path).layers()] == ["detect"]


def test_a_full_disk_stops_the_work_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: journal.Journal) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(journal, "EVERY", 0.0)
    monkeypatch.setattr(journal.Journal, "_append", full)
    stage = Boxes()
    with pytest.raises(AutolabelError, match="No space left on device"):
        run(stage, begin(tmp_path))
    assert len(stage.batches) == 1


@pytest.mark.parametrize("planted", ["link", "pipe", "folder"])
def test_what_is_planted_in_its_place_is_neither_read_nor_written_through(
    tmp_path: Path, planted: str
) -> None:
    layer = begin(tmp_path / "ws")
    outside = tmp_path / "outside"
    outside.write_text("mine")
    path = layer.journal_path(0)
    if planted == "link":
        path.symlink_to(outside)
    elif planted == "pipe":
        os.mkfifo(path)
    else:
        path.mkdir()
    if planted != "folder":
        with pytest.raises(KeyboardInterrupt):
            run(Boxes(2), layer)
        assert path.is_file()
        assert not path.is_symlink()
    run(Boxes(), layer)
    assert outside.read_text() == "mine"
    assert layer.shards() == [0]


def test_the_first_layer_knows_its_images_by_their_files(tmp_path: Path) -> None:
    class Reads(Boxes):
        def one(self, record: Record) -> Record:
            return replace(record, image_id=f"id{record.uri}")

    tasks = [Task(0, 10, partial(list, [replace(r, image_id="") for r in rows()]))]
    layer = begin(tmp_path, "scan")
    with pytest.raises(KeyboardInterrupt):
        run(Reads(2), layer, tasks)
    stage = Reads()
    run(stage, layer, tasks)
    assert stage.batches == BATCHES[2:]
    assert [record.image_id for record in layer.read(0)] == [f"id{i}" for i in range(10)]


def test_a_photo_replaced_after_a_stop_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_photos(tmp_path / "photos", 6)
    config = IngestConfig(source=(str(tmp_path / "photos"),))
    engine = EngineConfig(batch_size=2)
    call = Scan.__call__

    def stop(self: Scan, batch: Sequence[Record]) -> list[Record]:
        if batch[0].uri == "0004.png":
            raise KeyboardInterrupt
        return call(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Scan, "__call__", stop)
        with pytest.raises(KeyboardInterrupt):
            ingest(Workspace(tmp_path / "ws"), config, engine)
    assert list((tmp_path / "ws").glob("*/.part-00000.journal"))
    photos[0].write_bytes(photos[5].read_bytes())
    layer = ingest(Workspace(tmp_path / "ws"), config, engine).layer
    assert [r.image_id for r in layer.records()] == [content_id(p.read_bytes()) for p in photos]


def test_a_photo_that_is_back_does_not_cost_what_a_stop_left(
    random_detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where a shard is done again, the layer is written beside; the journal goes with it."""
    photos = make_photos(tmp_path / "photos", 6)
    workspace, engine = Workspace(tmp_path / "ws"), EngineConfig(batch_size=1)
    ingest(workspace, IngestConfig(source=(str(tmp_path / "photos"),), shard_size=3), engine)
    asked: list[str] = []
    call = Detect.__call__

    def counted(self: Detect, batch: Sequence[Record]) -> list[Record]:
        asked.extend(record.uri for record in batch)
        if asked[-1] == stop:
            raise KeyboardInterrupt
        return call(self, batch)

    monkeypatch.setattr(Detect, "__call__", counted)
    config = DetectConfig(model=str(random_detector), prompt=("cat",))
    away = photos[1].rename(tmp_path / "away.png")
    stop = "0005.png"
    with pytest.raises(KeyboardInterrupt):
        detect(workspace, config, engine)
    away.rename(photos[1])
    stop = ""
    asked.clear()
    layer = detect(workspace, config, engine).layer
    assert asked == ["0001.png", "0005.png"]
    assert [record.error for record in layer.records()] == [None] * 6
    assert not list(layer.path.glob(".part*"))
    asked.clear()
    layer.journal_path(1).write_text("left by a kill behind the last shard")
    detect(workspace, config, engine)
    assert asked == []
    assert not list(layer.path.glob(".part*"))
