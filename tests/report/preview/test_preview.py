from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as coco

from autolabel.config import EngineConfig, IngestConfig
from autolabel.ontology import Ontology
from autolabel.ops.crops import crop_window, square_crop
from autolabel.sources.marks import PREVIEW
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects
from tests.conftest import Run, make_photos
from tests.layers import begin


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Three photos: a kept cat and a rejected dog each; no bird anywhere."""
    make_photos(tmp_path / "photos", 3)
    home = Workspace(tmp_path / "ws")
    images = ingest(home, IngestConfig(source=(str(tmp_path / "photos"),)), EngineConfig()).layer
    ontology = Ontology.from_prompts(["cat", "dog", "bird"])
    manifest = Manifest("detect", {"ontology": ontology.to_mapping()})
    layer = begin(home, "detect", bound_to(manifest, images), overwrite=False)
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


def pictures_in(out: Path) -> list[str]:
    """What lies in a folder, without our own note."""
    return sorted(p.name for p in out.iterdir() if p.name != PREVIEW)


def test_images_and_sheets(run: Run, workspace: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run("preview", workspace, "--out", out, "--images", 2, "--json")
    assert done.status == 0, done.err
    shown = done.json()
    assert (shown["kept"], shown["rejected"]) == (3, 3)
    assert sorted(shown["files"]) == pictures_in(out)
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


def test_pictures_of_an_earlier_preview_go_and_other_files_stay(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    before = run("preview", workspace, "--out", out, "--json").json()["files"]
    assert "crops-dog.png" in before
    for name in ("notes.md", "image-of-mine.png"):
        (out / name).write_text("mine")
    after = run(
        "preview", workspace, "--out", out, "--class", "cat", "--images", 1, "--json"
    ).json()
    assert "crops-dog.png" not in after["files"]
    assert pictures_in(out) == sorted([*after["files"], "notes.md", "image-of-mine.png"])


def test_a_note_removes_nothing_but_pictures_of_ours(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    """Anybody may have written it."""
    out = tmp_path / "out"
    (out / "sub").mkdir(parents=True)
    mine = [out / "holiday.png", out / "sub" / "image-a.png", tmp_path / "image-b.png"]
    for path in mine:
        path.write_text("mine")
    (out / "image-link.png").symlink_to(tmp_path / "image-b.png")
    named = ["holiday.png", "sub/image-a.png", "../image-b.png", str(mine[2]), "image-link.png", 3]
    (out / PREVIEW).write_text(json.dumps({"files": named}))
    (out / f".{PREVIEW}.tmp").symlink_to(mine[0])
    assert run("preview", workspace, "--out", out).status == 0
    assert [path.read_text() for path in mine] == ["mine"] * 3
    assert not (out / "image-link.png").is_symlink()


def test_sheets_of_classes_with_like_names_stay_apart(run: Run, tmp_path: Path) -> None:
    names = ["a b", "a_b", "a/b", "A:b", "c"]
    make_photos(tmp_path / "photos", 1)
    home = Workspace(tmp_path / "ws")
    source = IngestConfig(source=(str(tmp_path / "photos"),))
    images = ingest(home, source, EngineConfig()).layer
    manifest = Manifest("detect", {"ontology": Ontology.from_prompts(names).to_mapping()})
    layer = begin(home, "detect", bound_to(manifest, images), overwrite=False)
    objects = Objects.create(names, [0.9] * 5, [[i, i, i + 20, i + 20] for i in range(5)])
    layer.write(0, [replace(r, objects=objects) for r in images.read(0)], images.digest(0))
    done = run("preview", home.path, "--out", tmp_path / "out", "--json")
    assert done.status == 0, done.err
    files = done.json()["files"]
    sheets = [file for file in files if file.startswith("crops-")]
    assert len({file.casefold() for file in sheets}) == 5
    assert "crops-c.png" in sheets
    one = run("preview", home.path, "--out", tmp_path / "one", "--class", "a/b", "--json").json()
    assert one["files"][-1] in sheets  # the same name whatever else is shown


def test_sheets_name_their_photos(run: Run, workspace: Path, tmp_path: Path, monkeypatch) -> None:
    written: list[str] = []
    text = ImageDraw.ImageDraw.text

    def seen(self, xy, what, *args, **kwargs):
        written.append(what)
        return text(self, xy, what, *args, **kwargs)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", seen)
    assert run("preview", workspace, "--out", tmp_path / "out").status == 0
    assert {"0000.png", "0001.png", "0002.png"} <= set(written)


def test_a_file_in_the_place_of_the_folder(run: Run, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out in ("file", "file/below"):
        done = run("preview", workspace, "--out", tmp_path / out)
        assert done.status == 1
        assert "error: " in done.err
        assert "not a folder" in done.err or "cannot be written" in done.err
    assert (tmp_path / "file").read_text() == "mine"


def test_previews_and_exports_are_never_taken_for_photos(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for out in (photos, photos / "drawn"):
        assert run("preview", workspace, "--out", out).status == 0
    for format_name in ("coco", "yolo"):
        out = photos / format_name
        command = ("export", workspace, "--out", out, "--format", format_name)
        assert run(*command).status == 0
    for sources in ([photos], [photos / "**/*.png"], [photos / "*.png", photos / "drawn"][:1]):
        done = run("ingest", *sources, "-w", workspace, "--json")
        assert done.status == 0, done.err
        assert done.json()["images"]["images"] == 3
        assert "that autolabel wrote left alone" in done.err
    # What is named itself is taken.
    inside = photos / "yolo" / "images"
    assert run("ingest", inside, "-w", tmp_path / "w2", "--json").json()["images"]["images"] == 3
    drawn = next((photos / "drawn").glob("*.png"))
    assert run("ingest", drawn, "-w", tmp_path / "w3", "--json").json()["images"]["images"] == 1
    alone = run("ingest", photos / "drawn", "-w", tmp_path / "w4")
    assert alone.status == 1
    assert "that autolabel wrote" in alone.err


def test_a_workspace_below_the_photos_is_left_alone(
    run: Run, workspace: Path, tmp_path: Path
) -> None:
    inside = tmp_path / "photos" / "labels"
    workspace.rename(inside)
    (inside / "mine.png").write_bytes((tmp_path / "photos" / "0000.png").read_bytes() + b" ")
    done = run("ingest", tmp_path / "photos", "-w", tmp_path / "new", "--json")
    assert done.json()["images"]["images"] == 3
    assert "1 files that autolabel wrote left alone" in done.err


def test_crops_at_the_border_are_padded_and_never_empty() -> None:
    image = np.full((10, 20, 3), 255, np.uint8)
    assert crop_window([25, -5, 30, -1], 20, 10, 0) == (19, 0, 20, 1)
    crop = square_crop(image, [10, 2, 20, 6], 0.25)
    assert crop.shape == (13, 13, 3) or crop.shape[0] == crop.shape[1]
    assert (crop == 255).all(axis=2).any()
    assert (crop == (122, 116, 104)).all(axis=2).any()
