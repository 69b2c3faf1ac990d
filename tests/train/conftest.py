"""A workspace whose labels are bright squares, and a student that is quickly trained."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import EngineConfig, IngestConfig, TrainConfig
from autolabel.ontology import Ontology
from autolabel.ops.masks import encode
from autolabel.stages.ingest import ingest
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.types import Objects, Record
from tests.layers import begin

CPU = EngineConfig(device="cpu")
ONTOLOGY = Ontology.from_prompts(("square", "bar"))

TINY = """
nc: 80
end2end: false
reg_max: 1
backbone:
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [8, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [16, 3, 2]]
head:
  - [[2, 3, 4], 1, HEAD]
"""


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    """Ultralytics runs with one thread here, and leaves the number as it was."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a connection or looks up a name fails."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex", "sendto"):
        monkeypatch.setattr(socket.socket, name, refuse)
    for name in ("create_connection", "getaddrinfo", "gethostbyname"):
        monkeypatch.setattr(socket, name, refuse)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _described(tmp_path_factory.mktemp("students") / "tiny.yaml", "Detect, [nc]")


@pytest.fixture(scope="session")
def tiny_masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _described(tmp_path_factory.mktemp("students") / "tiny-m.yaml", "Segment, [nc, 8, 16]")


def _described(path: Path, head: str) -> Path:
    path.write_text(TINY.replace("HEAD", head), "utf-8")
    return path


def recipe(student: Path, **options: Any) -> TrainConfig:
    """A recipe of a second or so."""
    given = {"epochs": 2, "imgsz": 64, "batch": 4, "val_share": 0.25, **options}
    return TrainConfig(student=str(student), **given)


def draw_photos(folder: Path, count: int, seed: int = 0) -> list[Path]:
    """Photos (128 x 96) of noise with one bright square each; the noise makes them unlike."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for i in range(count):
        rng = np.random.default_rng(1000 * seed + i)
        coarse = Image.fromarray(rng.integers(0, 120, (6, 8, 3), dtype=np.uint8))
        pixels = np.array(coarse.resize((128, 96), Image.Resampling.BICUBIC))
        x, y = box_of(i, seed)[:2]
        pixels[y : y + 32, x : x + 32] = 255
        path = folder / f"{seed}-{i:03d}.png"
        Image.fromarray(pixels).save(path)
        paths.append(path)
    return paths


def box_of(i: int, seed: int = 0) -> tuple[int, int, int, int]:
    """Where the square of a photo is."""
    rng = np.random.default_rng(5000 + 1000 * seed + i)
    x, y = int(rng.integers(0, 96)), int(rng.integers(0, 64))
    return x, y, x + 32, y + 32


Label = Callable[[Record, int], Objects]


def one_square(record: Record, i: int) -> Objects:
    """The true label of the i-th photo."""
    return Objects.create(["square"], [0.9], [box_of(i)])


def with_mask(record: Record, i: int) -> Objects:
    """The same, with a mask."""
    x1, y1, x2, y2 = box_of(i)
    mask = np.zeros((1, record.height, record.width), bool)
    mask[0, y1:y2, x1:x2] = True
    return Objects.create(["square"], [0.9], [box_of(i)], mask=[*encode(mask)])


def labelled(
    home: Path,
    photos: Sequence[Path],
    label: Label = one_square,
    holdout: Sequence[Path] = (),
    near_bits: int = 0,
) -> tuple[Workspace, Layer]:
    """A workspace of these photos with a layer of labels, as `detect` leaves one."""
    workspace = Workspace(home)
    config = IngestConfig(
        source=tuple(map(str, photos)), holdout=tuple(map(str, holdout)), near_bits=near_bits
    )
    images = ingest(workspace, config, CPU).layer
    return workspace, relabel(workspace, images, label)


def relabel(workspace: Workspace, images: Layer, label: Label) -> Layer:
    """Write the layer of labels anew."""
    manifest = Manifest(stage="detect", settings={"ontology": ONTOLOGY.to_mapping()})
    layer = begin(workspace, "detect", bound_to(manifest, images), overwrite=True)
    order = sorted(record.uri for record in images.records())
    for index in images.shards():
        records = [
            replace(r, objects=label(r, order.index(r.uri)) if r.usable else Objects.empty())
            for r in images.read(index)
        ]
        layer.write(index, records, images.digest(index))
    return layer


def listing(folder: Path) -> dict[str, int]:
    """Every file below a folder, and when it was written."""
    return {
        str(p.relative_to(folder)): p.stat().st_mtime_ns
        for p in folder.rglob("*")
        if p.is_file() and not p.is_symlink()
    }
