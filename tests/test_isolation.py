"""From photos to report in a fresh process that may not open a socket, as a user would run it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from PIL import Image

from autolabel.store import Workspace
from tests.conftest import SAMPLE

UNLABELED = SAMPLE / "blood_cells/unlabeled"
VALIDATION = SAMPLE / "blood_cells/validation"

WITHOUT_SOCKETS = """
import socket, sys

def forbidden(*arguments, **options):
    raise AssertionError("a socket was opened")

socket.socket.connect = socket.socket.connect_ex = socket.create_connection = forbidden
socket.getaddrinfo = forbidden
from autolabel.cli import main
try:
    main(sys.argv[1:])
finally:
    if "torch" in sys.modules:
        print("torch was loaded", file=sys.stderr)
"""


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns)
        for p in folder.rglob("*")
        if p.is_file()
    }


def pool(folder: Path) -> list[Path]:
    """Four photos, and three that are measured on: as it is, smaller and mirrored."""
    folder.mkdir()
    for photo in sorted(UNLABELED.glob("*.jpg"))[:4]:
        (folder / photo.name).write_bytes(photo.read_bytes())
    held = sorted(VALIDATION.glob("*.jpg"))[:3]
    (folder / "same.jpg").write_bytes(held[0].read_bytes())
    Image.open(held[1]).resize((320, 240)).save(folder / "smaller.jpg", quality=80)
    Image.open(held[2]).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "mirrored.png")
    return held


def truth(folder: Path, photos: list[Path]) -> None:
    folder.mkdir()
    coco = json.loads((VALIDATION / "annotations.json").read_text())
    names = [photo.name for photo in photos]
    coco["images"] = [image for image in coco["images"] if image["file_name"] in names]
    ids = {image["id"] for image in coco["images"]}
    coco["annotations"] = [row for row in coco["annotations"] if row["image_id"] in ids]
    (folder / "annotations.json").write_text(json.dumps(coco))
    for photo in photos:
        (folder / photo.name).write_bytes(photo.read_bytes())


@pytest.mark.parametrize("held_out", [True, False], ids=["holdout", "no holdout"])
def test_nothing_leaves_and_the_truth_stays_out(tmp_path: Path, held_out: bool) -> None:
    held = pool(tmp_path / "photos")
    truth(tmp_path / "truth", held)
    demo = yaml.safe_load((SAMPLE.parent / "configs/demo.yaml").read_text("utf-8"))
    models = {name: str(SAMPLE / "models" / name) for name in ("detector", "segmenter")}
    demo |= {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": str(tmp_path / "photos")},
        "detect": {**demo["detect"], "model": models["detector"]},
        "refine": {**demo["refine"], "model": models["segmenter"]},
        "filter": {"min_side": 6},
        "export": [],
        "train": {
            **demo["train"], "student": str(SAMPLE.parent / demo["train"]["student"]),
            "epochs": 1, "imgsz": 64, "batch": 4,
        },
        "evaluate": {"truth": str(tmp_path / "truth"), "bootstrap": 20, "speed_images": 2},
    }  # fmt: skip
    if held_out:
        demo["ingest"]["holdout"] = str(tmp_path / "truth")
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(demo))
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    kept = {name: listing(tmp_path / name) for name in ("photos", "truth")}
    environment = {
        "PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.environ["PYTHONPATH"],
        "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config"),
    }  # fmt: skip
    command = [sys.executable, "-c", WITHOUT_SOCKETS, "run", str(tmp_path / "run.yaml")]
    done, again = (
        subprocess.run(
            command, capture_output=True, text=True, cwd=here, env=environment, check=False
        )
        for _ in range(2)
    )
    assert done.returncode == 0, done.stderr
    assert again.returncode == 0, again.stderr
    for stage in ("ingest", "detect", "refine", "filter", "train"):
        assert f"{stage}: nothing to do" in again.stderr
    assert "report.html is up to date" in again.stderr
    assert "torch was loaded" in done.stderr
    assert "torch was loaded" not in again.stderr
    assert {name: listing(tmp_path / name) for name in kept} == kept
    assert (listing(home), listing(here)) == ({}, {})
    assert not (tmp_path / "config").exists()
    names = {p.name for p in tmp_path.iterdir()}
    assert names <= {"photos", "truth", "ws", "run.yaml", "home", "here", "cache"}

    run = json.loads((tmp_path / "ws/train/pico/run.json").read_text())
    assert run["skipped"]["leak"] == 3
    assert run["images"] + run["val_images"] == 4
    assert "3 leak" in done.stderr
    if held_out:
        splits = [record.split for record in Workspace(tmp_path / "ws").require("images").records()]
        assert splits.count("leak") == 3
    page = (tmp_path / "ws/report/report.html").read_text("utf-8")
    assert "<script" not in page
    assert "pico" in page
