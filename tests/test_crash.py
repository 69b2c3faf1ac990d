"""kill -9 at any change of the disk: what is visible is whole, and the same command ends it."""

from __future__ import annotations

import random
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import SAMPLE, make_photos
from tests.crash import Zygote, check_visible_files, content, covering, visible_files
from tests.embedders import save_random_clip, save_random_dinov2

Layers = dict[str, dict[str, bytes]]

STARTS_FROM = {
    "ingest": None,
    "detect": "ingest",
    "detect again": "detect",
    "refine": "detect",
    "filter": "detect",
    "filter again": "filter",
    "export": "detect",
    "report": "detect",
}
"""Command -> the one before it; "again" is with another setting, over what is there."""

OVERWRITES = {"detect again": "detect", "filter again": "filter"}
"""Command -> the layer whose place its own takes at once."""


@dataclass(frozen=True)
class Bench:
    """Commands on a few photos, two shards of them, and how a workspace looks after each."""

    zygote: Zygote
    folder: Path
    detector: Path
    segmenter: Path

    def words(self, name: str, workspace: Path) -> list[str]:
        here = self.folder
        detect = ["detect", workspace, "--model", self.detector, "--prompt", "cat"]
        detect += ["--batch-size", "1", "--box-threshold"]
        filter_ = ["filter", workspace, "--clip", here / "clip", "--dinov2", here / "dinov2"]
        filter_ += ["--dinov2-distance"]
        words: dict[str, list[object]] = {
            "ingest": ["ingest", here / "photos", "-w", workspace, "--shard-size", "2"],
            "detect": [*detect, "0.1"],
            "detect again": [*detect, "0.4", "--overwrite"],
            "refine": ["refine", workspace, "--model", self.segmenter],
            "filter": [*filter_, "1.5"],
            "filter again": [*filter_, "1.1", "--overwrite"],
            "export": ["export", workspace, "--format", "yolo", "--out", workspace / "export/yolo"],
            "report": ["report", workspace],
        }
        return [str(word) for word in words[name]]

    def after(self, name: str) -> Path:
        """A workspace in which a command and those before it were run to their ends."""
        workspace = self.folder / name.replace(" ", "-") / "ws"
        if not workspace.exists():
            self.before(name, workspace)
            assert self.zygote.run_here(self.words(name, workspace)) == 0
        return workspace

    def before(self, name: str, workspace: Path) -> Path:
        """Make a workspace that a command is to be run on."""
        start = STARTS_FROM[name]
        workspace.parent.mkdir(parents=True, exist_ok=True)
        if start is not None:
            shutil.copytree(self.after(start), workspace)
        return workspace


@pytest.fixture(scope="module")
def bench(
    zygote: Zygote,
    random_detector: Path,
    random_segmenter: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Bench:
    folder = tmp_path_factory.mktemp("bench")
    save_random_clip(folder / "clip")
    save_random_dinov2(folder / "dinov2")
    make_photos(folder / "photos", 4)
    return Bench(zygote, folder, random_detector, random_segmenter)


def layers(workspace: Path) -> Layers:
    names = {str(p.parent.relative_to(workspace)) for p in visible_files(workspace)}
    found = {name: content(workspace, name) for name in sorted(names)}
    return {name: shards for name, shards in found.items() if shards}


def published(workspace: Path) -> dict[str, bytes]:
    """What is for people and other programs; of a page, which names the time, its last line."""
    files = [p for name in ("export", "report") for p in visible_files(workspace / name)]
    return {
        str(p.relative_to(workspace)): p.read_bytes()[-90 if p.suffix == ".html" else 0 :]
        for p in files
    }


def names(workspace: Path) -> set[str]:
    """Of all the files, hidden ones too."""
    return {str(p.relative_to(workspace)) for p in workspace.rglob("*")}


def check_what_is_left(name: str, killed: Layers, before: Layers, whole: Layers) -> None:
    """Every shard is of what was there or of what is to be, and no finished label is lost."""
    replaced = OVERWRITES.get(name)
    for layer in {*before, *killed}:
        now, old, new = (place.get(layer, {}) for place in (killed, before, whole))
        if layer == replaced:
            # Between two renames neither is visible; the next command brings the new ones.
            assert now in (old, new, {}), layer
        else:
            assert now.items() <= new.items(), layer
            assert old.items() <= now.items(), layer


@pytest.mark.parametrize("every", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", STARTS_FROM)
def test_a_kill_at_any_change(bench: Bench, tmp_path: Path, name: str, every: bool) -> None:
    expected, counted = bench.after(name), bench.before(name, tmp_path / "counted/ws")
    before, whole = layers(counted), layers(expected)
    changes = bench.zygote.changes(bench.words(name, counted), counted)
    assert layers(counted) == whole
    numbers = range(1, len(changes) + 1) if every else covering(changes)
    invisible = 0
    for at in numbers:
        workspace = bench.before(name, tmp_path / f"{at}/ws")
        command = bench.words(name, workspace)
        seen = f"before change {at} of {len(changes)}: {changes[at - 1]}"
        assert bench.zygote.kill_at(command, workspace, at) == -9, seen
        check_visible_files(workspace)
        left = layers(workspace)
        check_what_is_left(name, left, before, whole)
        assert name != "report" or published(workspace) in ({}, published(expected)), seen
        invisible += len(left) < len(before)
        if every or (name in OVERWRITES and at % 2):
            # Once more, while it makes good what the first left.
            again = bench.zygote.kill_at(command, workspace, 1 + 7 * at % len(changes))
            assert again in (-9, 0), seen  # or it has less to do than that
            check_visible_files(workspace)
            check_what_is_left(name, layers(workspace), before, whole)
        assert bench.zygote.run(command) == 0, seen
        assert layers(workspace) == whole, seen
        assert published(workspace) == published(expected), seen
        assert names(workspace) == names(expected), seen
        shutil.rmtree(workspace)
    assert invisible <= (name in OVERWRITES)


@pytest.mark.slow
@pytest.mark.parametrize("name", STARTS_FROM)
def test_kills_at_random_moments(bench: Bench, tmp_path: Path, name: str) -> None:
    """Also in the middle of what is no change of the disk."""
    expected = bench.after(name)
    whole = layers(expected)
    timed = bench.before(name, tmp_path / "timed/ws")
    before = layers(timed)
    start = time.monotonic()
    assert bench.zygote.run(bench.words(name, timed)) == 0
    seconds = time.monotonic() - start
    rng, killed = random.Random(0), 0
    for trial in range(25):
        workspace = bench.before(name, tmp_path / f"{trial}/ws")
        command = bench.words(name, workspace)
        killed += bench.zygote.kill_after(command, rng.uniform(0, seconds)) == -9
        check_visible_files(workspace)
        check_what_is_left(name, layers(workspace), before, whole)
        assert bench.zygote.run(command) == 0
        assert layers(workspace) == whole
        assert published(workspace) == published(expected)
        shutil.rmtree(workspace, ignore_errors=True)
    assert killed >= 10, "the kills did not fall into the work"


@pytest.mark.slow
def test_kills_at_random_moments_of_a_trained_detector(
    zygote: Zygote, detector: Path, tmp_path: Path
) -> None:
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
        status = zygote.kill_after(detect(workspace), rng.uniform(0, seconds))
        done = check_visible_files(workspace) - 2 * 12
        killed_half_way += status == -9 and 0 < done < 12
        assert zygote.run(detect(workspace)) == 0
        assert content(workspace, "detect") == expected
        shutil.rmtree(workspace)
    assert killed_half_way >= 3, "the kills did not fall into the work"


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
