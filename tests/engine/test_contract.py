"""What every engine does alike, run over each that is registered."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from autolabel.engine.base import Progress, Task
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id
from autolabel.stages.running import ENGINES
from autolabel.store import Layer, Manifest, Workspace
from autolabel.types import CHANGED, Objects, Record
from tests.conftest import make_photos
from tests.layers import begin


class Widths:
    """One box as wide as the image; refuses images that are named so."""

    def __init__(self, refuse: str = "") -> None:
        if refuse == "start":
            raise AutolabelError("device cuda:7 is not there", hint="use --device cpu")
        self.refuse = refuse

    def wants(self, record: Record) -> bool:
        return record.usable

    def batch_key(self, record: Record) -> int:
        return record.width

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        if len({r.width for r in batch}) > 1:
            raise AutolabelError("a batch of several sizes", hint="")
        if self.refuse == "stop" and batch[0].uri == "1-1.jpg":
            raise KeyboardInterrupt
        if any(r.uri == self.refuse for r in batch):
            raise RuntimeError("no")
        return [
            replace(r, objects=Objects.create(["cat"], [0.5], [[0, 0, r.width, 4]])) for r in batch
        ]


class Corners:
    """A box as large as the pixels that it was given."""

    def wants(self, record: Record) -> bool:
        return record.usable

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        sizes = [record.image().shape[:2] for record in batch]
        boxes = [Objects.create(["cat"], [0.5], [[0, 0, w, h]]) for h, w in sizes]
        return [replace(r, objects=o) for r, o in zip(batch, boxes, strict=True)]


def rows(shard: int, count: int = 5) -> list[Record]:
    return [Record(f"{shard}-{i}", f"{shard}-{i}.jpg", 10 + i % 2, 8) for i in range(count)]


TASKS = [Task(i, 5, partial(rows, i), f"digest{i}") for i in range(6)]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """One small cluster for all tests; without it each run starts its own."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    yield
    ray.shutdown()


def run(engine: str, folder: Path, refuse: str = "") -> tuple[Layer, Progress]:
    layer = begin(Workspace(folder / engine), "detect", Manifest("detect"), overwrite=False)
    progress = Progress()
    module = importlib.import_module(ENGINES[engine])
    tasks = [task for task in TASKS if task.index not in layer.shards()]
    module.run(partial(Widths, refuse), layer, tasks, progress, batch_size=2, workers=1)
    return layer, progress


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_the_same_bytes_as_the_local_engine(engine: str, tmp_path: Path) -> None:
    layer, progress = run(engine, tmp_path)
    expected, _ = run("local", tmp_path / "reference")
    assert layer.shards() == list(range(6))
    assert [layer.digest(i) for i in range(6)] == [expected.digest(i) for i in range(6)]
    assert (progress.images, progress.objects, progress.shards) == (30, 30, 6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_what_a_stop_left_of_a_shard_is_used(engine: str, tmp_path: Path) -> None:
    expected, _ = run("local", tmp_path / "reference")
    stopped = tmp_path / engine
    with pytest.raises(KeyboardInterrupt):
        run("local", tmp_path, "stop")
    if engine != "local":
        (tmp_path / "local").rename(stopped)
    layer, progress = run(engine, tmp_path)
    assert [layer.digest(i) for i in range(6)] == [expected.digest(i) for i in range(6)]
    assert (progress.images, progress.resumed) == (25, 3)
    assert not list(layer.path.glob(".part*"))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_failing_image_costs_only_itself(engine: str, tmp_path: Path) -> None:
    layer, progress = run(engine, tmp_path, "3-2.jpg")
    assert [r.uri for r in layer.records() if r.error] == ["3-2.jpg"]
    assert progress.errors == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stage_that_does_not_start_says_why(engine: str, tmp_path: Path) -> None:
    with pytest.raises(AutolabelError, match="device cuda:7 is not there"):
        run(engine, tmp_path, "start")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_layer_is_begun_once_the_stage_is_made(engine: str, tmp_path: Path) -> None:
    def first() -> Layer:
        return begin(Workspace(tmp_path / "ws"), "detect", Manifest("detect"), overwrite=False)

    go = partial(
        importlib.import_module(ENGINES[engine]).run, layer=first, tasks=TASKS[:1],
        progress=Progress(), batch_size=2, workers=1,
    )  # fmt: skip
    with pytest.raises(AutolabelError, match="device cuda:7 is not there"):
        go(partial(Widths, "start"))
    assert not (tmp_path / "ws").exists()
    go(Widths)
    assert Workspace(tmp_path / "ws").require("detect").shards() == [0]


@pytest.mark.parametrize("engine", ENGINES)
def test_only_the_rows_of_a_task_that_are_asked_for_are_worked_on(
    engine: str, tmp_path: Path
) -> None:
    layer = begin(Workspace(tmp_path), "detect", Manifest("detect"), overwrite=False)
    task = Task(0, 2, partial(rows, 0), "digest", only=frozenset({1, 3}))
    module = importlib.import_module(ENGINES[engine])
    module.run(Widths, layer, [task], Progress(), batch_size=2, workers=1)
    assert [len(r.objects) for r in layer.read(0)] == [0, 1, 0, 1, 0]


@pytest.mark.parametrize("engine", ENGINES)
def test_without_tasks_nothing_starts(engine: str, tmp_path: Path) -> None:
    layer = begin(Workspace(tmp_path), "detect", Manifest("detect"), overwrite=False)
    module = importlib.import_module(ENGINES[engine])
    module.run(lambda: pytest.fail("started"), layer, [], Progress(), batch_size=1)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engine_reads_the_pixels_for_a_stage_that_asks(engine: str, tmp_path: Path) -> None:
    photos = make_photos(tmp_path / "photos", 2)
    known = [Record(content_id(p.read_bytes()), p.name, 96, 64) for p in photos]
    known += [Record("0" * 32, photos[0].name, 96, 64), Record("1" * 32, "away.png", 96, 64)]
    layer = begin(Workspace(tmp_path / "ws"), "detect", Manifest("detect"), overwrite=False)
    importlib.import_module(ENGINES[engine]).run(
        Corners, layer, [Task(0, 4, partial(list, known), "digest")], Progress(),
        batch_size=2, photos=tmp_path / "photos",
    )  # fmt: skip
    read, again, changed, away = layer.read(0)
    assert read.objects.xyxy.tolist() == again.objects.xyxy.tolist() == [[0, 0, 96, 64]]
    assert (changed.error, away.error) == (CHANGED, "missing")
    assert not any(record.pixels is not None for record in layer.read(0))
