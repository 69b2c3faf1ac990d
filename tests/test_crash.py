"""kill -9 at random moments: every visible file stays whole, and the same command ends the same."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import SAMPLE, make_photos

# Imports once, then forks for every command, so that a trial costs no start-up.
ZYGOTE = """
import os, sys, json
import autolabel.cli, autolabel.pipeline, autolabel.models.grounding_dino
for line in sys.stdin:
    pid = os.fork()
    if pid == 0:
        sys.stdin.close()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        autolabel.cli.main(json.loads(line))
    print(pid, flush=True)
    _, status = os.waitpid(pid, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
"""


class Zygote:
    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", ZYGOTE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.stdin, self.stdout = self.process.stdin, self.process.stdout

    def start(self, arguments: list[str]) -> int:
        self.stdin.write(json.dumps(arguments) + "\n")
        self.stdin.flush()
        return int(self.stdout.readline())

    def wait(self) -> int:
        return int(self.stdout.readline())

    def run(self, arguments: list[str]) -> int:
        self.start(arguments)
        return self.wait()

    def run_and_kill(self, arguments: list[str], seconds: float) -> int:
        pid = self.start(arguments)
        time.sleep(seconds)
        subprocess.run(["kill", "-9", str(pid)], check=False, stderr=subprocess.DEVNULL)
        return self.wait()


@pytest.fixture(scope="module")
def zygote() -> Iterator[Zygote]:
    one = Zygote()
    yield one
    one.stdin.close()
    one.process.wait()
    one.stdout.close()


def check_visible_files(workspace: Path) -> int:
    """Read every visible file of a workspace; the number of shards."""
    shards = 0
    for path in workspace.rglob("*"):
        if any(part.startswith(".") for part in path.relative_to(workspace).parts):
            continue
        if path.suffix == ".parquet":
            pq.read_table(path)
            shards += 1
        elif path.suffix == ".json":
            json.loads(path.read_text("utf-8"))
    return shards


def content(workspace: Path, layer: str) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (workspace / layer).glob("*.parquet")}


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
