"""Workspaces with labels, and small embedders."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import EngineConfig, FilterConfig, IngestConfig
from autolabel.ontology import Ontology
from autolabel.stages.embed import Embed
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects
from tests.conftest import make_photos
from tests.embedders import save_random_clip, save_random_dinov2
from tests.layers import begin, finish

ENGINE = EngineConfig(device="cpu", workers=1)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_random_clip(tmp_path_factory.mktemp("models") / "clip"))


@pytest.fixture(scope="session")
def dinov2(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(save_random_dinov2(tmp_path_factory.mktemp("models") / "dinov2"))


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Six photos in three shards, four labels each, as `detect` leaves them."""
    make_photos(tmp_path / "photos", 6)
    home = Workspace(tmp_path / "ws")
    config = IngestConfig(source=(str(tmp_path / "photos"),), shard_size=2)
    images = ingest(home, config, ENGINE).layer
    label(home, seed=0)
    assert len(images.shards()) == 3
    return home


@pytest.fixture
def embedded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The uri of each image whose crops a model has seen."""
    seen: list[str] = []
    call = Embed.__call__

    def counted(self: Embed, batch: Any) -> Any:
        seen.extend(record.uri for record in batch)
        return call(self, batch)

    monkeypatch.setattr(Embed, "__call__", counted)
    return seen


def label(home: Workspace, seed: int) -> None:
    images = home.require("images")
    ontology = Ontology.from_prompts(["cat", "dog"], ["smudge"])
    manifest = Manifest("detect", {"ontology": ontology.to_mapping(), "seed": seed})
    layer = begin(home, "detect", bound_to(manifest, images), overwrite=True)
    for index in images.shards():
        rng = np.random.default_rng([seed, index])
        records = []
        for record in images.read(index):
            corner = rng.uniform(0, 40, (4, 2))
            boxes = np.concatenate([corner, corner + rng.uniform(3, 24, (4, 2))], axis=1)
            names = rng.permutation(["cat", "cat", "dog", "dog"]).tolist()
            objects = Objects.create(names, rng.uniform(0.3, 1, 4), boxes)
            records.append(replace(record, objects=objects))
        layer.write(index, records, images.digest(index))
    finish(home, layer)


def both(clip: str, dinov2: str, **options: Any) -> FilterConfig:
    return FilterConfig(clip=clip, dinov2=dinov2, **options)


def no_models(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*args: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("autolabel.registry.load", never)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and not p.name.startswith(".lock")
    }


def sorted_crops(folder: Path) -> Path:
    for name, colour in (("cat", 255), ("other", 0)):
        for i in range(3):
            (folder / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((20, 20, 3), abs(colour - 9 * i), np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder
