"""kill -9 while crops are embedded and labels filtered."""

from __future__ import annotations

import random
import shutil
import time
from pathlib import Path

from tests.conftest import make_photos
from tests.crash import Zygote, check_visible_files, content
from tests.embedders import save_random_clip, save_random_dinov2

LAYERS = ("embed/clip", "embed/dinov2", "filter")


def test_kill_during_filter(zygote: Zygote, random_detector: Path, tmp_path: Path) -> None:
    clip, dinov2 = save_random_clip(tmp_path / "clip"), save_random_dinov2(tmp_path / "dinov2")
    make_photos(tmp_path / "photos", 24)
    labelled = tmp_path / "labelled"
    ingest = ["ingest", str(tmp_path / "photos"), "-w", str(labelled), "--shard-size", "2"]
    assert zygote.run(ingest) == 0
    detect = ["detect", str(labelled), "--model", str(random_detector), "--prompt", "cat"]
    assert zygote.run([*detect, "--box-threshold", "0.1"]) == 0

    def filter_(workspace: Path, distance: str, *extra: str) -> list[str]:
        return [
            "filter", str(workspace), "--clip", str(clip),
            "--dinov2", str(dinov2), "--dinov2-distance", distance, *extra,
        ]  # fmt: skip

    def state(workspace: Path) -> dict[str, dict[str, bytes]]:
        return {layer: content(workspace, layer) for layer in LAYERS}

    whole = shutil.copytree(labelled, tmp_path / "whole")
    assert zygote.run(filter_(whole, "1.5")) == 0
    expected = state(whole)
    assert all(len(shards) == 12 for shards in expected.values())

    killed_half_way = 0
    for shards in (1, 9, 13, 20, 26, 31):
        workspace = shutil.copytree(labelled, tmp_path / f"after{shards}")
        status = zygote.kill_after(filter_(workspace, "1.5"), workspace, 3 * 12 + shards)
        done = check_visible_files(workspace) - 3 * 12
        killed_half_way += status == -9 and 0 < done < 3 * 12
        assert zygote.run(filter_(workspace, "1.5")) == 0
        assert state(workspace) == expected
        shutil.rmtree(workspace)
    assert killed_half_way >= 2, "the kills did not fall into the work"

    rng = random.Random(0)
    start = time.monotonic()
    assert zygote.run(filter_(whole, "1.1", "--overwrite")) == 0
    seconds = time.monotonic() - start
    new = state(whole)
    assert new["filter"] != expected["filter"]
    assert zygote.run(filter_(whole, "1.5", "--overwrite")) == 0
    for _ in range(3):
        zygote.run_and_kill(filter_(whole, "1.1", "--overwrite"), rng.uniform(0, seconds))
        assert content(whole, "filter") in (expected["filter"], new["filter"], {})
        check_visible_files(whole)
    assert zygote.run(filter_(whole, "1.1", "--overwrite")) == 0
    assert state(whole) == new
