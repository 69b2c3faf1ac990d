from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco

from autolabel import pipeline
from autolabel.config import EngineConfig, IngestConfig
from autolabel.ontology import Ontology
from autolabel.ops.crops import crop_window, square_crop
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects
from tests.conftest import Run, make_photos


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Three photos: a kept cat and a rejected dog each; no bird anywhere."""
    from dataclasses import replace

    make_photos(tmp_path / "photos", 3)
    home = Workspace(tmp_path / "ws")
    images = pipeline.ingest(
        home, IngestConfig(source=(str(tmp_path / "photos"),)), EngineConfig()
    ).layer
    ontology = Ontology.from_prompts(["cat", "dog", "bird"])
    manifest = Manifest("detect", {"ontology": ontology.to_mapping()})
    layer = home.begin("detect", bound_to(manifest, images), overwrite=False)
    shape = np.zeros((64, 96), np.uint8, order="F")
    shape[10:35, 8:25] = 1
    objects = Objects.create(
        ["cat", "dog"],
        [0.9, 0.4],
        [[5, 5, 30, 40], [50, 10, 90, 30]],
        mask=[coco.encode(shape)["counts"], None],
        keep=[True, False],
        reason=[None, "clip_margin: 0.03 < 0.10"],
        scores=[{"clip": 0.98}, {"clip": 0.4}],
    )
    records = [replace(r, objects=objects) for r in images.read(0)]
    layer.write(0, records, images.digest(0))
    return home.path


def test_images_and_sheets(run: Run, workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("preview", workspace, "--out", out, "--images", 2, "--json")
    assert done.status == 0, done.err
    shown = done.json()
    assert (shown["kept"], shown["rejected"]) == (3, 3)
    assert sorted(shown["files"]) == sorted(p.name for p in out.iterdir())
    assert [f for f in shown["files"] if f.startswith("crops")] == [
        "crops-cat.png",
        "crops-dog.png",
    ]
    drawn = [f for f in shown["files"] if f.startswith("image")]
    assert len(drawn) == 2
    photo = np.asarray(Image.open(tmp_path / "photos/0000.png"))
    marked = np.asarray(Image.open(out / next(f for f in drawn if "0000" in f)).convert("RGB"))
    assert marked.shape == photo.shape
    assert (marked != photo).any()
    np.testing.assert_array_equal(marked[45:, 35:48], photo[45:, 35:48])  # away from all boxes


def test_rejected_only_and_one_class(run: Run, workspace: Path, tmp_path: Path) -> None:
    done = run("preview", workspace, "--out", tmp_path / "a", "--rejected", "--json").json()
    assert (done["kept"], done["rejected"]) == (0, 3)
    done = run("preview", workspace, "--out", tmp_path / "b", "--class", "cat", "--json").json()
    assert (done["kept"], done["rejected"]) == (3, 0)
    assert "crops-dog.png" not in json.dumps(done)
    assert "preview: 4 pictures of 3 kept and 0 rejected" in run(
        "preview", workspace, "--out", tmp_path / "c", "--class", "cat"
    ).err  # fmt: skip


def test_mistakes(run: Run, workspace: Path, tmp_path: Path) -> None:
    for arguments, message in [
        (("--class", "cats"), "did you mean 'cat'?"),
        (("--class", "bird"), "no labels to show"),
        (("--class", "cat", "--rejected"), "no rejected labels to show"),
        (("--layer", "filter"), "has no layer 'filter'"),
    ]:
        done = run("preview", workspace, "--out", tmp_path / "out", *arguments)
        assert done.status > 0
        assert message in done.err
    (tmp_path / "photos/0001.png").unlink()
    done = run("preview", workspace, "--out", tmp_path / "out")
    assert done.status == 0
    assert "1 images could not be read" in done.err


def test_the_same_preview_twice_is_the_same(run: Run, workspace: Path, tmp_path: Path) -> None:
    contents = []
    for name in "ab":
        run("preview", workspace, "--out", tmp_path / name)
        contents.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir()})
    assert contents[0] == contents[1]


def test_crops_at_the_border_are_padded_and_never_empty() -> None:
    image = np.full((10, 20, 3), 255, np.uint8)
    assert crop_window([25, -5, 30, -1], 20, 10, 0) == (19, 0, 20, 1)
    crop = square_crop(image, [10, 2, 20, 6], 0.25)
    assert crop.shape == (13, 13, 3) or crop.shape[0] == crop.shape[1]
    assert (crop == 255).all(axis=2).any()
    assert (crop == (122, 116, 104)).all(axis=2).any()
