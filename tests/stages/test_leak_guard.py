"""The leak guard from the command line: what --holdout takes, and what becomes of near photos."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel.store import Workspace
from benchmarks.leak_pictures import CHANGES, SCENES
from tests.conftest import Run, make_photos


@pytest.fixture
def held(tmp_path: Path) -> list[Path]:
    """Held-out photos, in a data set of which the labels lie beside."""
    return make_photos(tmp_path / "set/images", 3)


@pytest.fixture
def pool(tmp_path: Path, held: list[Path]) -> Path:
    """Five photos, of which two are held out: an exact copy, and a mirrored one."""
    folder = tmp_path / "pool"
    for i, path in enumerate(make_photos(tmp_path / "more", 6)[3:]):
        folder.mkdir(exist_ok=True)
        shutil.copy(path, folder / f"own{i}.png")
    shutil.copy(held[0], folder / "copy.png")
    CHANGES["mirrored"](Image.open(held[1]), np.random.default_rng(0)).save(folder / "turned.png")
    return folder


def coco(folder: Path) -> Path:
    images = [{"id": i, "file_name": f"{i:04d}.png", "width": 96, "height": 64} for i in range(3)]
    categories = [{"id": 1, "name": "cat"}]
    file = folder / "annotations.json"
    file.write_text(json.dumps({"images": images, "annotations": [], "categories": categories}))
    return file


def yolo(folder: Path) -> Path:
    (folder / "labels").mkdir()
    for i in range(3):
        (folder / f"labels/{i:04d}.txt").write_text("0 0.5 0.5 0.1 0.1\n")
    file = folder / "data.yaml"
    file.write_text("val: images\nnames: [cat]\n")
    return file


def voc(folder: Path) -> Path:
    (folder / "Annotations").mkdir()
    size = "<size><width>96</width><height>64</height><depth>3</depth></size>"
    for i in range(3):
        text = f"<annotation><filename>{i:04d}.png</filename>{size}</annotation>"
        (folder / f"Annotations/{i:04d}.xml").write_text(text)
    return folder / "Annotations"


def splits(workspace: Path) -> dict[str, str]:
    return {r.uri: r.split for r in Workspace(workspace).require("images").records()}


@pytest.mark.parametrize("labels", [coco, yolo, voc])
def test_whatever_truth_reads_holdout_reads(
    run: Run, tmp_path: Path, pool: Path, labels: Callable[[Path], Path]
) -> None:
    done = run("ingest", pool, "-w", tmp_path / "ws", "--holdout", labels(tmp_path / "set"))
    assert done.status == 0, done.err
    assert "3 held-out photos" in done.err
    leaks = {uri for uri, split in splits(tmp_path / "ws").items() if split == "leak"}
    assert leaks == {"copy.png", "turned.png"}


def test_the_number_of_held_out_photos_is_in_the_json(
    run: Run, tmp_path: Path, pool: Path, held: list[Path]
) -> None:
    done = run("ingest", pool, "-w", tmp_path / "ws", "--holdout", held[0].parent, "--json")
    assert done.json()["images"]["held_out"] == 3
    again = run("ingest", pool, "-w", tmp_path / "ws", "--json")  # the guard is kept
    assert again.json()["images"]["held_out"] == 3


@pytest.mark.parametrize("by", ["folder", "labels"])
def test_a_damaged_held_out_photo_is_refused_by_name(
    run: Run, tmp_path: Path, pool: Path, held: list[Path], by: str
) -> None:
    labels = coco(tmp_path / "set")
    held[2].write_bytes(held[2].read_bytes()[:200])
    holdout = held[2].parent if by == "folder" else labels
    done = run("ingest", pool, "-w", tmp_path / "ws", "--holdout", holdout)
    assert done.status == 1
    assert "0002.png" in done.err
    assert not (tmp_path / "ws/images").exists()


def test_a_held_out_photo_that_is_not_there_is_refused_by_name(
    run: Run, tmp_path: Path, pool: Path, held: list[Path]
) -> None:
    labels = coco(tmp_path / "set")
    held[1].unlink()
    done = run("ingest", pool, "-w", tmp_path / "ws", "--holdout", labels)
    assert done.status == 1
    assert "names 0001.png, which is not there" in done.err


def scene(folder: Path, name: str, first: int, count: int) -> Path:
    folder.mkdir()
    for i in range(first, first + count):
        SCENES[name](5)(np.random.default_rng([3, i])).save(folder / f"{i}.png")
    return folder


def test_photos_of_one_scene_are_kept_grouped_or_dropped(run: Run, tmp_path: Path) -> None:
    belt, test = (
        scene(tmp_path / "belt", "conveyor", 10, 2),
        scene(tmp_path / "test", "conveyor", 0, 4),
    )
    shutil.copy(test / "0.png", belt / "copy.png")
    ws = tmp_path / "ws"
    done = run("ingest", belt, "-w", ws, "--holdout", test)
    assert "warning: 2 of 3 photos are near one of the 4 held-out photos" in done.err
    assert splits(ws) == {"10.png": "pool", "11.png": "pool", "copy.png": "leak"}
    rows = {r.uri: r for r in Workspace(ws).require("images").records()}
    assert rows["10.png"].group != rows["10.png"].image_id
    assert (rows["10.png"].note or "").startswith("near held-out ")
    run("ingest", belt, "-w", ws, "--near-duplicates", "keep", "--overwrite")
    rows = {r.uri: r for r in Workspace(ws).require("images").records()}
    assert rows["10.png"].group == rows["10.png"].image_id
    run("ingest", belt, "-w", ws, "--near-duplicates", "drop", "--overwrite")
    assert Counter(splits(ws).values()) == {"leak": 3}


def test_appended_photos_change_no_mark_and_are_all_that_is_looked_at(
    run: Run, tmp_path: Path, pool: Path, held: list[Path]
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    run("ingest", pool, "-w", whole, "--holdout", held[0].parent)
    later = [path.rename(tmp_path / path.name) for path in sorted(pool.iterdir())[:2]]
    run("ingest", pool, "-w", parts, "--holdout", held[0].parent)
    for path in later:
        path.rename(pool / path.name)
    done = run("ingest", pool, "-w", parts)
    assert "leaks: 2 images to do" in done.err
    assert splits(parts) == splits(whole)


def test_one_thread_or_four_find_the_same(
    run: Run, tmp_path: Path, pool: Path, held: list[Path]
) -> None:
    for workers in (1, 4):
        run(
            "ingest", pool, "-w", tmp_path / f"ws{workers}", "--workers", workers,
            "--holdout", held[0].parent,
        )  # fmt: skip
    one, four = (tmp_path / f"ws{n}/images/part-00000.parquet" for n in (1, 4))
    assert one.read_bytes() == four.read_bytes()


def test_a_photo_that_is_away_while_it_is_looked_at_is_looked_at_later(
    run: Run, tmp_path: Path, pool: Path, held: list[Path]
) -> None:
    ws = tmp_path / "ws"
    run("ingest", pool, "-w", ws)
    away = (pool / "copy.png").rename(tmp_path / "copy.png")
    run("ingest", pool / "own0.png", "-w", ws, "--holdout", held[0].parent, "--overwrite")
    rows = {r.uri: r for r in Workspace(ws).require("images").records()}
    assert not rows["copy.png"].usable
    away.rename(pool / "copy.png")
    run("ingest", pool, "-w", ws)
    assert splits(ws)["copy.png"] == "leak"
