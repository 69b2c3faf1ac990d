"""Workspaces that somebody has tampered with: no hang, no traceback, nothing opened beside them.

pytest -m slow tests/attack
"""

from __future__ import annotations

import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.attack import tampering
from tests.attack.conftest import FILTERS, MODELS
from tests.attack.forked import Forked, contents
from tests.conftest import SAMPLE

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ATTACK_SEED", "0"))
SHARE = float(os.environ.get("ATTACK_SHARE", "1"))
"""Which cases, and which part of them; with seed 0 all are the same every time."""


def commands(home: Path, photos: Path, truth: Path) -> list[list[object]]:
    detector, segmenter = MODELS / "detector", MODELS / "segmenter"
    student = SAMPLE.parent / "configs/students/pico.yaml"
    return [
        ["detect", home, "--model", detector, "--box-threshold", "0.3"],
        ["refine", home, "--model", segmenter],
        ["filter", home, *FILTERS],
        ["filter", home, "--min-side", "9", "--overwrite"],
        ["filter", home, "--min-side", "9", "--dry-run"],
        ["export", home, "--format", "coco", "--out", home.with_name("out-coco")],
        ["export", home, "--format", "yolo", "--out", home.with_name("out-yolo")],
        ["export", home, "--format", "coco", "--out", home / "export/coco"],
        ["preview", home, "--out", home.with_name("drawn")],
        ["report", home],
        ["evaluate", home, "--truth", truth, "--layer", "filter"],
        ["ingest", photos, "-w", home],
        ["ingest", photos, "-w", home, "--prune", "--overwrite", "--min-side", "3"],
        ["train", home, "--student", student, "--epochs", "1", "--imgsz", "64"],
    ]


@dataclass(frozen=True)
class Place:
    """Where an attack takes place."""

    command: Forked
    made: Path
    photos: Path
    truth: Path
    elsewhere: Path
    tmp: Path


@pytest.fixture
def at(
    command: Forked, made: Path, photos: Path, truth: Path, elsewhere: Path, tmp_path: Path
) -> Place:
    return Place(command, made, photos, truth, elsewhere, tmp_path)


def attack(
    at: Place,
    changes: list[tuple[str, tampering.Change]], each: int,
) -> None:  # fmt: skip
    chosen = random.Random(SEED)
    if SHARE < 1:
        changes = chosen.sample(changes, max(1, int(SHARE * len(changes))))
    before = contents(at.elsewhere)
    faults = []
    for i, (name, change) in enumerate(changes):
        home = at.tmp / f"{i}" / "ws"
        shutil.copytree(at.made, home, symlinks=True)
        change(home, at.elsewhere)
        some = chosen.sample(commands(home, at.photos, at.truth)[:-1], each)
        if chosen.random() < 0.02:
            some.append(commands(home, at.photos, at.truth)[-1])
        for arguments in [["status", home, "--json"], *some]:
            answer = at.command(*arguments)
            if fault := answer.fault():
                shown = " ".join(answer.arguments).replace(str(home), "ws")
                faults.append(f"{name} | {shown}\n    {fault}")
        if contents(at.elsewhere) != before:
            faults.append(f"{name}: something was changed elsewhere")
            break
        shutil.rmtree(home.parent)
    report = "\n".join(faults[:40])
    assert not faults, f"{len(faults)} of {len(changes)} cases:\n{report}"


def test_changed_json(at: Place) -> None:
    changes = tampering.json_changes(at.made, random.Random(SEED), 400)
    attack(at, changes, 2)


def test_changed_shards(at: Place) -> None:
    changes = tampering.shard_changes(at.made)
    chosen = random.Random(SEED).sample(changes, min(300, len(changes)))
    attack(at, chosen, 2)


def test_changed_files_and_folders(at: Place) -> None:
    changes = tampering.file_changes(at.made)
    chosen = random.Random(SEED).sample(changes, min(150, len(changes)))
    changes = [*chosen, *tampering.folder_changes(), *tampering.ontology_changes()]
    attack(at, changes, 2)


def test_flipped_bits(at: Place) -> None:
    changes = tampering.bits(at.made, random.Random(SEED), 100)
    attack(at, changes, 1)
