"""Odd systems: disks that refuse a write at any moment, few descriptors, no home, other locales."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.attack.conftest import FILTERS, MODELS
from tests.attack.forked import Answer, Forked
from tests.crash import content

pytestmark = pytest.mark.slow

SEED = int(os.environ.get("ATTACK_SEED", "0"))
COUNT = int(os.environ.get("ATTACK_WRITES", "40"))
"""Writes that fail, over the whole chain."""

LAYERS = ("images", "detect", "refine", "filter")


def chain(home: Path, photos: Path) -> list[list[object]]:
    prompts = ["--prompt", "red blood cell", "--prompt", "platelet", "--box-threshold", "0.3"]
    return [
        ["ingest", photos, "-w", home],
        ["detect", home, "--model", MODELS / "detector", *prompts],
        ["refine", home, "--model", MODELS / "segmenter"],
        ["filter", home, *FILTERS],
        ["export", home, "--format", "coco", "--out", home.with_name("coco")],
        ["preview", home, "--out", home.with_name("drawn")],
        ["report", home],
    ]


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory, command: Forked, photos: Path) -> Path:
    home = tmp_path_factory.mktemp("clean") / "ws"
    for arguments in chain(home, photos):
        answer = command(*arguments)
        assert answer.status == 0, answer
    return home


def test_a_write_that_fails_costs_nothing(
    command: Forked, photos: Path, clean: Path, tmp_path: Path
) -> None:
    chosen = random.Random(SEED)
    for i in range(COUNT):
        home = tmp_path / str(i) / "ws"
        home.parent.mkdir()
        failing = chosen.randrange(7)
        for j, arguments in enumerate(chain(home, photos)):
            if j == failing:
                answer = command(*arguments, fail_write=chosen.randrange(12))
                assert answer.fault() is None, answer
            answer = command(*arguments)
            assert answer.status == 0, answer
        for layer in LAYERS:
            assert content(home, layer) == content(clean, layer), (i, layer)
        shutil.rmtree(home.parent)


@pytest.mark.parametrize("size", [700, 9_000, 60_000])
def test_a_disk_that_takes_no_more(
    command: Forked, photos: Path, clean: Path, tmp_path: Path, size: int
) -> None:
    home = tmp_path / "ws"
    for arguments in chain(home, photos):
        answer = command(*arguments, limits={"RLIMIT_FSIZE": size})
        assert answer.fault() is None, answer
        answer = command(*arguments)
        assert answer.status == 0, answer
    for layer in LAYERS:
        assert content(home, layer) == content(clean, layer)


@pytest.mark.parametrize("count", [8, 16, 32])
def test_few_descriptors(command: Forked, photos: Path, tmp_path: Path, count: int) -> None:
    home = tmp_path / "ws"
    for arguments in chain(home, photos):
        answer = command(*arguments, limits={"RLIMIT_NOFILE": count})
        assert answer.fault() is None, answer
        answer = command(*arguments)
        assert answer.status == 0, answer


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": None},
        {"HOME": "/nonexistent"},
        {"HOME": None, "TMPDIR": "/nonexistent"},
        {"LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "xx_YY.nonsense", "TERM": "dumb", "COLUMNS": "3"},
        {"PYTHONUTF8": "0", "LC_ALL": "POSIX", "TZ": "nowhere"},  # names are not UTF-8 there
    ],
)
def test_odd_environments(photos: Path, tmp_path: Path, environment: dict[str, str | None]) -> None:
    given = {**os.environ, "HF_HUB_OFFLINE": "1", **environment}
    given = {name: value for name, value in given.items() if value is not None}
    folder = tmp_path / "фото"
    shutil.copytree(photos, folder)
    (folder / os.fsdecode(b"caf\xe9.jpg")).write_bytes(b"no image")
    for arguments in [*chain(tmp_path / "ws", folder)[:2], ["status", tmp_path / "ws"]]:
        done = subprocess.run(
            [sys.executable, "-m", "autolabel", *map(str, arguments)],
            capture_output=True, env=given, timeout=300, check=False,
        )  # fmt: skip
        assert b"Traceback" not in done.stderr
        if environment.get("PYTHONUTF8") == "0":
            assert done.returncode in (1, 2)
            assert b"hint: " in done.stderr
        else:
            assert done.returncode == 0, done.stderr


def test_two_at_once(command: Forked, photos: Path, clean: Path, tmp_path: Path) -> None:
    home = tmp_path / "ws"
    (tmp_path / "said").mkdir()
    other = Forked(tmp_path / "said")
    try:
        with ThreadPoolExecutor(2) as both:
            for arguments in chain(home, photos)[:4]:

                def run(one: Forked, arguments: list[object] = arguments) -> Answer:
                    return one(*arguments)

                for answer in both.map(run, (command, other)):
                    assert answer.fault() is None, answer
                assert command(*arguments).status == 0
    finally:
        other.close()
    for layer in LAYERS:
        assert content(home, layer) == content(clean, layer)
