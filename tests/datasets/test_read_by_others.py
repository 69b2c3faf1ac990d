"""What an export looks like, and what other programs read of it."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.datasets.formats import FORMATS, written
from autolabel.datasets.ground_truth import read_ground_truth
from tests.datasets.conftest import HEIGHT, ODD, WIDTH, Fixture, contents, ring_and_disc

GOLDEN = Path(__file__).parents[1] / "golden"


def test_coco_layout(made: Fixture) -> None:
    done = made.export()
    assert (done.images, done.objects, done.splits) == (5, 8, {"train": 5})
    images = [f"images/train/{i:04d}.png" for i in range(5)]
    assert made.files() == ["annotations/instances_train.json", *images]
    for file in images:
        assert (made.out / file).read_bytes() == (
            made.root / "photos" / Path(file).name
        ).read_bytes()


def test_yolo_layout(made: Fixture) -> None:
    made.export("yolo", val_share=0.4)
    assert len(list((made.out / "images" / "val").iterdir())) == 2
    for folder, suffix in (("images", ".png"), ("labels", ".txt")):
        found = {p.name for s in ("train", "val") for p in (made.out / folder / s).iterdir()}
        assert found == {f"{i:04d}{suffix}" for i in range(5)}
    background = next(made.out.glob("labels/*/0004.txt"))
    assert background.read_bytes() == b""


@pytest.mark.parametrize("format_name", written(plugins=False))
def test_golden(made: Fixture, format_name: str) -> None:
    """`AUTOLABEL_GOLDEN=1 pytest` writes the golden files anew."""
    # Groups of fixed names: the bytes of a PNG, and so its id, depend on the version of zlib.
    made.write(*(replace(r, group=str(i)) for i, r in enumerate(made.records)))
    made.export(format_name, val_share=0.4)
    got = {
        name: made.out.joinpath(name).read_text("utf-8")
        for name in made.files()
        if not name.endswith(".png")
    }
    golden = GOLDEN / format_name
    if os.environ.get("AUTOLABEL_GOLDEN"):
        for name, text in got.items():
            (golden / name).parent.mkdir(parents=True, exist_ok=True)
            (golden / name).write_text(text, "utf-8")
    assert got == {name: data.decode() for name, data in contents(golden).items()}


def test_pycocotools_gives_back_every_kept_box(made: Fixture) -> None:
    from pycocotools.coco import COCO

    made.export()
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(made.out / "annotations" / "instances_train.json"))
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["cat", "dog"]
    assert len(coco.getImgIds()) == 5
    for image in coco.loadImgs(coco.getImgIds()):
        assert (made.out / "images" / "train" / image["file_name"]).is_file()
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        if rows:
            x, y, w, h = np.array([row["bbox"] for row in rows]).T
            np.testing.assert_allclose(np.stack([x, y, x + w, y + h], axis=1), ODD, atol=0.01)
            assert [row["category_id"] for row in rows] == [2, 1]


@pytest.mark.filterwarnings("ignore:OpenCV")
@pytest.mark.parametrize("format_name", ["coco", "yolo"])
def test_supervision_gives_back_every_kept_box(made: Fixture, format_name: str) -> None:
    """Also where the dataset was moved."""
    import supervision as sv

    made.export(format_name)
    moved = made.out.rename(made.root / "moved")
    images = str(moved / "images" / "train")
    if format_name == "coco":
        data = sv.DetectionDataset.from_coco(
            images, str(moved / "annotations" / "instances_train.json")
        )
    else:
        data = sv.DetectionDataset.from_yolo(
            images, str(moved / "labels" / "train"), str(moved / "data.yaml")
        )
    assert data.classes == ["cat", "dog"]
    assert len(data) == 5
    for path, _, found in data:
        if Path(path).name == "0004.png":
            assert len(found) == 0
        else:
            np.testing.assert_allclose(found.xyxy, ODD, atol=0.01)
            assert found.class_id.tolist() == [1, 0]


def test_ultralytics_gives_back_every_kept_box(made: Fixture, tmp_path: Path) -> None:
    """From any folder, and after the dataset was moved, by absolute and by relative path."""
    pytest.importorskip("ultralytics", reason="needs autolabel[test]")
    made.export("yolo", val_share=0.4)
    script = """if True:
        import json, os, sys
        from pathlib import Path
        from ultralytics.cfg import get_cfg
        from ultralytics.data.build import build_yolo_dataset
        from ultralytics.data.utils import check_det_dataset
        out = Path(sys.argv[1])
        data = check_det_dataset(out / "data.yaml", autodownload=False)
        assert Path(data["train"]) == out / "images" / "train", data
        moved = out.rename(out.with_name("moved"))
        for here in (moved / "data.yaml", os.path.relpath(moved / "data.yaml")):
            data = check_det_dataset(str(here), autodownload=False)
            assert Path(data["train"]) == moved / "images" / "train", data
        rows = {}
        for split in ("train", "val"):
            dataset = build_yolo_dataset(get_cfg(), data[split], 1, data, mode="val")
            for label in dataset.labels:
                cls, box = label["cls"].ravel().tolist(), label["bboxes"].tolist()
                rows[label["im_file"]] = sorted(zip(cls, box))
        json.dump({"names": list(data["names"].values()), "rows": rows}, open(sys.argv[2], "w"))
    """
    result = tmp_path / "result.json"
    env = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(tmp_path / "config")}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-c", script, str(made.out.resolve()), str(result)]
    done = subprocess.run(
        command, env=env, cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corrupt" not in (done.stdout + done.stderr).replace("0 corrupt", "")
    found = json.loads(result.read_text("utf-8"))
    assert found["names"] == ["cat", "dog"]
    assert len(found["rows"]) == 5
    for path, rows in found["rows"].items():
        if Path(path).name == "0004.png":
            assert rows == []
            continue
        assert [row[0] for row in rows] == [0, 1]
        cx, cy, w, h = np.array([row[1] for row in rows]).T
        boxes = np.stack([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], axis=1)
        expected = np.array(ODD[::-1]) / [WIDTH, HEIGHT, WIDTH, HEIGHT]
        np.testing.assert_allclose(boxes, expected, atol=1e-4)


@pytest.mark.parametrize("format_name", [f for f in written(plugins=False) if FORMATS[f].reader])
def test_our_own_reader_gives_back_every_kept_box(made: Fixture, format_name: str) -> None:
    made.export(format_name)
    truth = read_ground_truth(made.out)
    assert truth.names == ("cat", "dog")
    for image, record in zip(truth.records, made.records, strict=True):
        assert image.image_id == record.image_id
        kept = record.objects.kept
        assert image.objects.label.tolist() == kept.label.tolist()
        np.testing.assert_allclose(image.objects.xyxy, kept.xyxy, atol=0.01)


@pytest.mark.filterwarnings("ignore:OpenCV")
def test_supervision_reads_the_outlines_of_a_yolo_export(masked: Fixture) -> None:
    import supervision as sv

    masked.export("yolo")
    out = masked.out
    data = sv.DetectionDataset.from_yolo(
        str(out / "images" / "train"), str(out / "labels" / "train"), str(out / "data.yaml"),
        force_masks=True,
    )  # fmt: skip
    box = np.zeros((HEIGHT, WIDTH), bool)
    box[1:9, 1:20] = True
    for _, _, found in data:
        assert found.class_id.tolist() == [1, 0, 0]
        for seen, mask in zip(found.mask, [*ring_and_disc(), box], strict=True):
            assert (seen & mask).sum() / (seen | mask).sum() > 0.8  # it draws the border too


@pytest.mark.parametrize("coco_masks", ["rle", "polygon"])
def test_pycocotools_gives_back_every_mask(masked: Fixture, coco_masks: str) -> None:
    from pycocotools.coco import COCO

    masked.export(coco_masks=coco_masks)
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(masked.out / "annotations" / "instances_train.json"))
    ring, disc = ring_and_disc()
    if coco_masks == "polygon":
        ring |= np.hypot(*np.mgrid[-30 : HEIGHT - 30, -30 : WIDTH - 30]) < 20  # its hole is filled
    least = 0.95 if coco_masks == "polygon" else 1
    for image in coco.getImgIds():
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image]))
        assert rows[2]["segmentation"] == []
        for row, mask in zip(rows, (ring, disc), strict=False):
            seen = coco.annToMask(row).astype(bool)
            assert (seen & mask).sum() / (seen | mask).sum() >= least
            assert row["area"] == seen.sum()
            assert isinstance(row["segmentation"], list) == (coco_masks == "polygon")


def shifted(xyxy: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The second and third box two pixels further down."""
    return xyxy + np.outer([0, 1, 1, 0], [0, 2, 0, 2]).astype(np.float32)


@pytest.mark.parametrize("format_name", ["yolo", "labelme", "cvat", "fiftyone"])
def test_boxes_that_do_not_fit_their_masks_are_counted(masked: Fixture, format_name: str) -> None:
    """A format of masks alone gives the box around the mask."""
    assert "boxes" not in masked.export(format_name).lost
    loose = [
        replace(r, objects=replace(r.objects, xyxy=shifted(r.objects.xyxy)))
        for r in masked.workspace.layer("images").read(0)
    ]
    masked.write(*loose)
    assert masked.export(format_name).lost["boxes"] == 5
