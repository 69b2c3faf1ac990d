"""kill -9 at random moments: every visible file stays whole, and the same command ends the same."""

from __future__ import annotations

import random
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import SAMPLE, make_photos
from tests.crash import Zygote, check_visible_files, content


@pytest.mark.parametrize("trials", [8, pytest.param(25, marks=pytest.mark.slow)])
def test_kill_during_detect(zygote: Zygote, detector: Path, tmp_path: Path, trials: int) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for path in sorted((SAMPLE / "blood_cells/unlabeled").glob("*.jpg"))[:24]:
        shutil.copy(path, photos)
    ingested = tmp_path / "ingested"
    ingest = ["ingest", str(photos), "--workspace", str(ingested), "--shard-size", "2"]
    assert zygote.run(ingest) == 0

    def detect(workspace: Path) -> list[str]:
        return [
            "detect", str(workspace), "--model", str(detector), "--prompt", "red blood cell",
            "--prompt", "platelet", "--box-threshold", "0.2",
        ]  # fmt: skip

    whole = shutil.copytree(ingested, tmp_path / "whole")
    start = time.monotonic()
    assert zygote.run(detect(whole)) == 0
    seconds = time.monotonic() - start
    expected = content(whole, "detect")
    assert len(expected) == 12

    rng = random.Random(0)
    killed_half_way = 0
    for trial in range(trials):
        workspace = shutil.copytree(ingested, tmp_path / f"trial{trial}")
        status = zygote.run_and_kill(detect(workspace), rng.uniform(0, seconds))
        done = check_visible_files(workspace) - 2 * 12
        killed_half_way += status == -9 and 0 < done < 12
        assert zygote.run(detect(workspace)) == 0
        assert content(workspace, "detect") == expected
        shutil.rmtree(workspace)
    assert killed_half_way >= trials // 8, "the kills did not fall into the work"


@pytest.mark.parametrize(
    ("number", "size"), [(signal.SIGKILL, 1), (signal.SIGKILL, 4), (signal.SIGINT, 4)]
)
def test_a_stop_within_a_shard_costs_the_batch_at_work_and_no_more(
    zygote: Zygote, random_detector: Path, tmp_path: Path, number: int, size: int
) -> None:
    sides = [(96, 64), (64, 96), (80, 80), (200, 30)]
    for i, side in enumerate(sides):
        make_photos(tmp_path / "photos" / str(i), 3, side)
    workspace = tmp_path / "ws"
    assert zygote.run(["ingest", str(tmp_path / "photos"), "-w", str(workspace)]) == 0

    def detect(folder: Path) -> list[str]:
        return [
            "detect", str(folder), "--model", str(random_detector), "--prompt", "cat",
            "--box-threshold", "0.1", "--batch-size", str(size),
        ]  # fmt: skip

    whole = shutil.copytree(workspace, tmp_path / "whole")
    assert zygote.run(detect(whole)) == 0
    batches = {1: 12, 4: 4}[size]  # those of one size together
    done = batches // 2
    folder = shutil.copytree(workspace, tmp_path / "stopped")
    status = zygote.die_at_batch(detect(folder), done, number)
    assert status == (-9 if number == signal.SIGKILL else 130)
    assert content(folder, "detect") == {}
    # What is left fits into the batches that are left: one more and it would stop again.
    assert zygote.die_at_batch(detect(folder), batches - done, number) == 0
    assert content(folder, "detect") == content(whole, "detect")
    assert not list((folder / "detect").glob(".*"))


def test_kill_during_ingest(zygote: Zygote, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_photos(photos, 200)

    def ingest(workspace: Path) -> list[str]:
        return ["ingest", str(photos), "--workspace", str(workspace), "--shard-size", "8"]

    whole = tmp_path / "whole"
    start = time.monotonic()
    assert zygote.run(ingest(whole)) == 0
    seconds = time.monotonic() - start
    rng = random.Random(1)
    for trial in range(10):
        workspace = tmp_path / f"trial{trial}"
        zygote.run_and_kill(ingest(workspace), rng.uniform(0, seconds))
        check_visible_files(workspace)
        assert zygote.run(ingest(workspace)) == 0
        for layer in ("scan", "images"):
            assert content(workspace, layer) == content(whole, layer)


def test_kill_during_overwrite_keeps_the_old_labels(
    zygote: Zygote, random_detector: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    make_photos(photos, 40)
    workspace = tmp_path / "ws"
    assert zygote.run(["ingest", str(photos), "-w", str(workspace), "--shard-size", "2"]) == 0

    def detect(threshold: str, *extra: str) -> list[str]:
        return [
            "detect", str(workspace), "--model", str(random_detector), "--prompt", "cat",
            "--box-threshold", threshold, *extra,
        ]  # fmt: skip

    assert zygote.run(detect("0.1")) == 0
    old = content(workspace, "detect")
    start = time.monotonic()
    assert zygote.run(detect("0.4", "--overwrite")) == 0
    seconds = time.monotonic() - start
    new = content(workspace, "detect")
    assert old != new
    assert zygote.run(detect("0.1", "--overwrite")) == 0
    rng = random.Random(2)
    for _ in range(6):
        zygote.run_and_kill(detect("0.4", "--overwrite"), rng.uniform(0, seconds))
        # either all of the old labels or all of the new ones; between two renames, neither is
        # visible for a moment and the next command brings the new ones
        assert content(workspace, "detect") in (old, new, {})
        check_visible_files(workspace)
    assert zygote.run(detect("0.4", "--overwrite")) == 0
    assert content(workspace, "detect") == new
