"""kill -9 at random moments: every visible file stays whole, and the same command ends the same."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from tests.conftest import SAMPLE, make_photos
from tests.crash import Zygote, check_visible_files, content


def test_kill_during_detect(zygote: Zygote, detector: Path, tmp_path: Path) -> None:
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
    for trial in range(25):
        workspace = shutil.copytree(ingested, tmp_path / f"trial{trial}")
        status = zygote.run_and_kill(detect(workspace), rng.uniform(0, seconds))
        done = check_visible_files(workspace) - 2 * 12
        killed_half_way += status == -9 and 0 < done < 12
        assert zygote.run(detect(workspace)) == 0
        assert content(workspace, "detect") == expected
        shutil.rmtree(workspace)
    assert killed_half_way >= 3, "the kills did not fall into the work"


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
