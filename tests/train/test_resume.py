"""kill -9 while a student is trained: the same command goes on, says so, and ends the same."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from autolabel.train.folder import begin, finish, held, is_complete, write_run
from tests.conftest import Run
from tests.train.conftest import draw_photos, labelled

EPOCHS = 6


def command(workspace: Path, student: Path) -> list[str]:
    return [
        "train", str(workspace), "--student", str(student), "--epochs", str(EPOCHS),
        "--imgsz", "64", "--batch", "2", "--close-mosaic", "3", "--optimizer", "AdamW",
        "--device", "cpu",
    ]  # fmt: skip


def kill_after(arguments: list[str], folder: Path, epochs: int) -> None:
    """Run a command, and kill it once so many epochs are done."""
    process = subprocess.Popen(
        [sys.executable, "-m", "autolabel", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    metrics = folder / "metrics.csv"
    end = time.monotonic() + 300
    while process.poll() is None and time.monotonic() < end:
        if metrics.is_file() and len(metrics.read_text().splitlines()) > epochs:
            break
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.returncode == -9, "it ended before it was killed"


def test_a_killed_training_ends_as_if_it_had_not_been(run: Run, tiny: Path, tmp_path: Path) -> None:
    photos = draw_photos(tmp_path / "photos", 6)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for workspace in (whole, killed):
        labelled(workspace, photos)
    assert run(*command(whole, tiny)).status == 0
    folder = killed / "train" / "tiny"
    for epochs in (2, 4):  # before mosaic is closed, and after
        kill_after(command(killed, tiny), folder, epochs)
        assert json.loads((folder / "run.json").read_text())["state"] == "unfinished"
        assert not is_complete(folder)
    done = run(*command(killed, tiny), "--json")
    assert done.status == 0, done.err
    resumed = json.loads((folder / "run.json").read_text())["resumed_from"]
    assert resumed
    assert done.json()["resumed_from"] == resumed[-1] >= 3
    assert f"train: goes on after epoch {resumed[-1]}" in done.err
    for name in ("best.pt", "last.pt", "metrics.csv"):
        expected = (whole / "train" / "tiny" / name).read_bytes()
        assert (folder / name).read_bytes() == expected, name


def test_a_torn_state_is_not_gone_on_from(run: Run, tiny: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "ws"
    labelled(workspace, draw_photos(tmp_path / "photos", 4))
    folder = workspace / "train" / "tiny"
    kill_after(command(workspace, tiny), folder, 2)  # the state of one is there
    state = (folder / "state.pt").read_bytes()
    (folder / "state.pt").write_bytes(state[: len(state) // 2])
    done = run(*command(workspace, tiny), "--json")
    assert done.status == 0, done.err
    assert done.json()["resumed_from"] is None


@pytest.mark.parametrize("moment", ["before", "between", "after"])
def test_a_kill_while_the_new_student_takes_its_place(tmp_path: Path, moment: str) -> None:
    final = tmp_path / "train" / "a"
    fresh, old = tmp_path / "train" / ".a.next", tmp_path / "train" / ".a.old"
    for folder, name in ((final, "old"), (fresh, "new")):
        folder.mkdir(parents=True)
        write_run(folder, {"state": "complete", "binding": {"name": name}})
        (folder / "best.pt").write_bytes(name.encode())
    if moment != "before":
        final.rename(old)
    if moment == "after":
        fresh.rename(final)
    with held(final):
        pass
    assert (final / "best.pt").read_bytes() == (b"old" if moment == "before" else b"new")
    assert not old.exists()


def test_the_old_student_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    final = tmp_path / "train" / "a"
    final.mkdir(parents=True)
    write_run(final, {"state": "complete", "binding": {"name": "old"}})
    (final / "best.pt").write_bytes(b"old")
    folder = begin(final, {"name": "new"}, overwrite=True)
    write_run(folder, {"state": "unfinished", "binding": {"name": "new"}})
    assert begin(final, {"name": "new"}, overwrite=True) == folder
    assert is_complete(final, {"name": "old"})
    (folder / "best.pt").write_bytes(b"new")
    finish(folder, final, {"binding": {"name": "new"}})
    assert is_complete(final, {"name": "new"})
    assert [p.name for p in final.parent.iterdir()] == ["a"]
