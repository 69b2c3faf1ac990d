"""`train` stopped at every single thing that it does to the disk: the same command goes on."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autolabel.errors import AutolabelError
from autolabel.store import Layer, Workspace, write_atomic
from autolabel.train import load_student, train
from autolabel.train.folder import BEST, LAST, STATE, is_complete, write_metrics
from autolabel.types import Objects
from tests.crash import Watch, tear, watched
from tests.train.conftest import CPU, ONTOLOGY, box_of, draw_photos, labelled, recipe, with_mask

FITNESS = (0.2, 0.6, 0.4)
"""Of each epoch; the second is the best, so that the last one does not happen to be right."""

KILLED = 9
Made = tuple[Workspace, Layer]


def killed(learn: Callable[[], Any], folder: Path, at: int) -> int:
    """Run it in a process that ends by itself before the `at`-th change; its exit status."""

    def die(_: int) -> None:
        tear(watch)
        os._exit(KILLED)

    pid = os.fork()
    if not pid:
        try:
            with watched(Watch(folder, at, die)) as watch:
                learn()
        except BaseException:  # the child must never go on as a test
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


# -- a trainer that takes no time -----------------------------------------------------------------


def _quick(folder: Path, data: dict[str, Any], *_: Any, on_epoch: Any, **__: Any) -> None:
    """Writes what the real one does, in its order, and sees that the data set is whole."""
    from autolabel.train.yolo_trainer import _saved, read_state

    for split, count in (("train", 2), ("val", 1)):
        images = {p.stem for p in (data["path"] / "images" / split).iterdir()}
        labels = {p.stem for p in (data["path"] / "labels" / split).iterdir() if p.stat().st_size}
        assert len(images) == count
        assert images == labels
    state = read_state(folder) or {"epoch": 0, "rows": [], "best_epoch": 0}
    for epoch in range(state["epoch"] + 1, len(FITNESS) + 1):
        rows = [*state["rows"], {"epoch": epoch, "ap50": FITNESS[epoch - 1]}]
        best = max(range(epoch), key=lambda i: FITNESS[i]) + 1
        if best == epoch:
            write_atomic(folder / BEST, f"weights {epoch}".encode())
        if epoch == len(FITNESS):
            write_atomic(folder / LAST, f"weights {epoch}".encode())
        write_metrics(folder, rows)
        state = {"epoch": epoch, "rows": rows, "best_epoch": best}
        write_atomic(folder / STATE, _saved(state))
        on_epoch(epoch, rows[-1], best)


def _finds_squares(*_: Any) -> Any:
    def predict(images: Any, **__: Any) -> list[Objects]:
        return [Objects.create(["square"], [0.7], [box_of(0)]) for _ in images]

    return SimpleNamespace(predict=predict)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from autolabel.models.quiet_ultralytics import load_ultralytics

    load_ultralytics()
    import autolabel.train.yolo
    import autolabel.train.yolo_trainer

    known: dict[Any, Any] = {}
    find = autolabel.train.yolo.find_start

    def find_once(config: Any, masks: bool) -> Any:
        key = (config.student, masks)
        if key not in known:
            known[key] = find(config, masks)
        return known[key]

    monkeypatch.setattr(autolabel.train.yolo, "find_start", find_once)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # no power is cut here
    monkeypatch.setattr(autolabel.train.yolo_trainer, "fit", _quick)
    monkeypatch.setattr(autolabel.train, "load_student", _finds_squares)


def learns(made: Made, student: Path, **options: Any) -> Callable[[], Any]:
    overwrite = options.pop("overwrite", False)
    config = recipe(student, **{"epochs": len(FITNESS), **options})
    return lambda: train(*made, ONTOLOGY, config, CPU, overwrite=overwrite)


def run_json(folder: Path) -> dict[str, Any]:
    run = json.loads((folder / "run.json").read_text("utf-8"))
    del run["seconds"]  # what a clock says differs from run to run
    return dict(run)


def content(folder: Path) -> dict[str, Any]:
    files = {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix in (".pt", ".csv")}
    run = run_json(folder)
    del run["resumed_from"]
    return {**files, "run": run, "names": sorted(p.name for p in folder.iterdir())}


def some(points: int, *, every: int) -> list[int]:
    """All points at the beginning and at the end, and some while the images are copied."""
    middle = range(16, max(points - 40, 16), every)
    return sorted({*range(1, min(16, points)), *middle, *range(max(points - 40, 1), points + 1)})


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("masks", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_kill_at_any_point(tmp_path: Path, tiny: Path, tiny_masks: Path, masks: bool) -> None:
    """At each of the hundred or so, or most: the same command leaves what would be there."""
    photos = draw_photos(tmp_path / "photos", 3)
    made = (
        labelled(tmp_path / "ws", photos, with_mask) if masks else labelled(tmp_path / "ws", photos)
    )
    learn = learns(made, tiny_masks if masks else tiny, name="a")
    home = tmp_path / "ws" / "train"
    with watched(Watch(home)) as watch:
        learn()
    whole, points = content(home / "a"), watch.count
    assert whole["run"]["best_epoch"] == 2
    assert points > 60
    resumed = []
    for at in some(points, every=1 if masks else 5):
        shutil.rmtree(home)
        assert killed(learn, home, at) == KILLED, at
        assert learn().folder == home / "a", at
        assert content(home / "a") == whole, at
        assert sorted(p.name for p in home.iterdir() if p.suffix != ".lock") == ["a"], at
        resumed.append(run_json(home / "a")["resumed_from"])
    assert [1] in resumed
    assert [2] in resumed


@pytest.mark.usefixtures("quick")
def test_the_same_kills_give_the_same_run_json(tmp_path: Path, tiny: Path) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3))
    learn = learns(made, tiny, name="a")
    home = tmp_path / "ws" / "train"

    def story(*kills: int) -> dict[str, Any]:
        shutil.rmtree(home, ignore_errors=True)
        for at in kills:
            killed(learn, home, at)
        learn()
        return run_json(home / "a")

    for kills in ((40, 30), (60, 3, 50)):
        assert story(*kills) == story(*kills)


@pytest.mark.usefixtures("quick")
def test_nothing_is_overwritten_but_what_was_learned(tmp_path: Path, tiny: Path) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3))
    home = tmp_path / "ws" / "train"
    other = learns(made, tiny, name="a", seed=1)
    killed(learns(made, tiny, name="a"), home, 20)  # while it copies the images
    with watched(Watch(home)) as watch:
        assert other().fresh
    at = watch.count
    while not (home / "a" / STATE).is_file():  # until an epoch is done, and not all is
        at -= 2
        shutil.rmtree(home)
        killed(learns(made, tiny, name="a"), home, at)
    with pytest.raises(AutolabelError, match="seed 0, not 1"):
        other()


@pytest.mark.usefixtures("quick")
def test_a_student_is_there_whenever_its_successor_is_killed(tmp_path: Path, tiny: Path) -> None:
    """Also where the killed one is replaced by a third, and where its predecessor is unfinished."""
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3))
    home = tmp_path / "ws" / "train"
    first, kept = learns(made, tiny, name="a"), tmp_path / "kept"
    second, third = (learns(made, tiny, name="a", overwrite=True, seed=s) for s in (1, 2))
    first()
    home.rename(kept)
    shutil.copytree(kept, home)
    with watched(Watch(home)) as watch:
        second()
    wanted = {}
    for seed, again in ((1, second), (2, third)):
        again()
        wanted[seed] = content(home / "a")
    # What lies between the beginning and the end is the same as without a predecessor.
    for at in (*range(1, 9), *range(watch.count - 24, watch.count + 1)):
        shutil.rmtree(home)
        shutil.copytree(kept, home)
        assert killed(second, home, at) == KILLED, at
        aside = [home / "a", home / ".a.next", home / ".a.old"]
        assert any(is_complete(folder) for folder in aside), at
        seed, again = ((1, second), (2, third))[at % 2]
        again()
        assert content(home / "a") == wanted[seed], at
        assert not [p.name for p in home.iterdir() if p.name not in ("a", ".a.lock")], at


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("stays_full", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_a_disk_that_refuses_any_write(tmp_path: Path, tiny: Path, stays_full: bool) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3))
    learn = learns(made, tiny, name="a")
    home = tmp_path / "ws" / "train"
    with watched(_Fills(home)) as watch:
        learn()
    whole = content(home / "a")

    def refuse(later: int) -> None:
        if stays_full or not later:
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    refused = 0
    points = some(watch.count, every=1 if stays_full else 5)
    for at in points:
        shutil.rmtree(home)
        with watched(_Fills(home, at, refuse)):
            error = _tried(learn)
        refused += error is not None
        assert error is None or "cannot be written: No space left" in error, (at, error)
        assert learn().folder == home / "a", at
        assert content(home / "a") == whole, at
    assert refused > 0.8 * len(points) > 20


def _tried(learn: Callable[[], Any]) -> str | None:
    try:
        learn()
    except AutolabelError as e:
        return e.message
    return None


class _Fills(Watch):
    """A full disk lets one remove and rename."""

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.mkdir", "os.truncate"):
            super().__call__(event, arguments)


@pytest.mark.slow
def test_the_real_trainer_goes_on_from_any_point(tmp_path: Path, tiny: Path) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3))
    learn = learns(made, tiny, name="a")
    home = tmp_path / "ws" / "train"
    with watched(Watch(home)) as watch:
        learn()
    whole = content(home / "a")
    del whole["names"]
    for at in range(watch.count, 0, -3):
        shutil.rmtree(home)
        assert killed(learn, home, at) == KILLED, at
        learn()
        assert {k: v for k, v in content(home / "a").items() if k != "names"} == whole, at
    assert load_student(home / "a", "cpu").threshold == whole["run"]["threshold"]["score"]
