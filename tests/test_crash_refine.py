"""kill -9 during `refine`: every visible file stays whole, and the same command ends the same."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conftest import make_photos
from tests.crash import Zygote, check_visible_files, content

SHARDS = 12


def test_kill_during_refine(
    zygote: Zygote, random_detector: Path, random_segmenter: Path, tmp_path: Path
) -> None:
    make_photos(tmp_path / "photos", 2 * SHARDS, (640, 480))
    detected = tmp_path / "detected"
    ingest = ["ingest", str(tmp_path / "photos"), "-w", str(detected), "--shard-size", "2"]
    assert zygote.run(ingest) == 0
    detect = [
        "detect", str(detected), "--model", str(random_detector), "--prompt", "cat",
        "--box-threshold", "0.1",
    ]  # fmt: skip
    assert zygote.run(detect) == 0

    def refine(workspace: Path) -> list[str]:
        return ["refine", str(workspace), "--model", str(random_segmenter)]

    whole = shutil.copytree(detected, tmp_path / "whole")
    assert zygote.run(refine(whole)) == 0
    expected = content(whole, "refine")
    assert len(expected) == SHARDS

    killed_half_way = 0
    for shards in (0, 1, 4, 6, 9, 11):
        workspace = shutil.copytree(detected, tmp_path / f"after{shards}")
        status = zygote.kill_after(refine(workspace), workspace, 3 * SHARDS + shards)
        done = check_visible_files(workspace) - 3 * SHARDS
        killed_half_way += status == -9 and 0 < done < SHARDS
        assert zygote.run(refine(workspace)) == 0
        assert content(workspace, "refine") == expected
        assert content(workspace, "detect") == content(detected, "detect")
        shutil.rmtree(workspace)
    assert killed_half_way >= 2, "the kills did not fall into the work"
