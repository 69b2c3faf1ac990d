"""The ids of classes through what people type, one command after the other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.conftest import Run, make_photos

Detect = Callable[..., Path]


@pytest.fixture
def detect(run: Run, tmp_path: Path, random_detector: Path) -> Detect:
    make_photos(tmp_path / "photos", 3)

    def detected(*classes: str, extra: tuple[str, ...] = ()) -> Path:
        home = tmp_path / "ws"
        source = home if home.exists() else tmp_path / "photos"
        named = [word for name in classes for word in ("--prompt", name)]
        done = run(
            "detect", source, "--workspace", home, "--model", random_detector, *named,
            "--box-threshold", "0.1", *extra,
        )  # fmt: skip
        assert done.status == 0, done.err
        return home

    return detected


def yolo_names(run: Run, home: Path, out: Path, *extra: str) -> dict[int, str]:
    done = run("export", home, "--format", "yolo", "--out", out, *extra)
    assert done.status == 0, done.err
    names: dict[int, str] = yaml.safe_load((out / "data.yaml").read_text("utf-8"))["names"]
    return names


def test_ids_stay_whatever_is_looked_for_next(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat", "dog")
    first = yolo_names(run, home, tmp_path / "a")
    assert first == {0: "cat", 1: "dog"}
    labels = {p.name: p.read_text() for p in (tmp_path / "a/labels/train").iterdir()}
    detect("dog", "cat=cat, black", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "b") == first
    detect("blood", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "c") == {**first, 2: "blood"}
    rows = [p.read_text().split() for p in (tmp_path / "c/labels/train").iterdir()]
    assert {row[0] for row in rows if row} == {"2"}
    detect("dog", "cat", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "d") == {**first, 2: "blood"}
    assert labels, "boxes were found at all"


def test_coco_has_the_same_ids_after_a_move(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat", "dog")
    detect("dog", extra=("--overwrite",))
    moved = Path(shutil.move(home, tmp_path / "elsewhere"))
    assert run("export", moved, "--out", tmp_path / "coco").status == 0
    data = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    assert [(c["id"], c["name"]) for c in data["categories"]] == [(1, "cat"), (2, "dog")]
    assert {one["category_id"] for one in data["annotations"]} == {2}


def test_an_older_workspace_keeps_its_ids(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("dog", "cat")
    (home / "classes.json").unlink()
    assert yolo_names(run, home, tmp_path / "a") == {0: "dog", 1: "cat"}
    detect("cat", "blood", extra=("--overwrite",))
    assert yolo_names(run, home, tmp_path / "b") == {0: "dog", 1: "cat", 2: "blood"}


def test_damaged_ids_stop_what_needs_them(run: Run, detect: Detect, tmp_path: Path) -> None:
    home = detect("cat")
    (home / "classes.json").write_text('{"names": ["cat", "cat"]}')
    done = run("export", home, "--out", tmp_path / "a")
    assert done.status == 1
    assert "classes.json does not list the classes: a name is in it twice" in done.err
    assert "delete it" in done.err
    (home / "classes.json").unlink()
    assert run("export", home, "--out", tmp_path / "a").status == 0
