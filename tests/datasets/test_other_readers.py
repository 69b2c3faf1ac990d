"""What libraries that are not ours read of the exports: a test for each format and reader.

`pytest tests/datasets/test_other_readers.py -v` lists them.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.ops.masks import boxes, encode
from autolabel.types import Objects
from tests.datasets.conftest import HEIGHT, WIDTH, Fixture, ring_and_disc

LABELS = ["dog", "cat", "cat"]
BOXES = [[10, 10, 64, 54], [60, 5, 91, 36], [1, 1, 20, 9]]
SPLITS = {"train": 3, "val": 1, "test": 1}

Seen = list[tuple[str, list[float], npt.NDArray[np.bool_] | None]]
"""Class, corners and mask of each object of an image."""


def box_mask() -> npt.NDArray[np.bool_]:
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[1:9, 1:20] = True
    return mask


def coco_pycocotools(out: Path, split: str) -> dict[str, Seen]:
    from pycocotools.coco import COCO

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(str(out / f"annotations/instances_{split}.json"))
    seen: dict[str, Seen] = {}
    for image in coco.loadImgs(coco.getImgIds()):
        rows = coco.loadAnns(coco.getAnnIds(imgIds=[image["id"]]))
        seen[image["file_name"]] = [
            (
                coco.loadCats(row["category_id"])[0]["name"],
                [*row["bbox"][:2], *np.add(row["bbox"][:2], row["bbox"][2:])],
                coco.annToMask(row).astype(bool) if row["segmentation"] else None,
            )
            for row in rows
        ]
    return seen


def with_supervision(data: Any, shift: int = 0) -> dict[str, Seen]:
    seen: dict[str, Seen] = {}
    for path, _, found in data:
        masks = [None] * len(found) if found.mask is None else found.mask
        rows = zip(found.class_id, np.add(found.xyxy, [shift, shift, 0, 0]), masks, strict=True)
        seen[Path(path).name] = [(data.classes[i], box, mask) for i, box, mask in rows]
    return seen


def coco_supervision(out: Path, split: str) -> dict[str, Seen]:
    import supervision as sv

    file = out / f"annotations/instances_{split}.json"
    data = sv.DetectionDataset.from_coco(str(out / "images" / split), str(file))
    return with_supervision(data)


def voc_supervision(out: Path, split: str) -> dict[str, Seen]:
    """It holds to the devkit, which counts pixels from 1; see `autolabel.datasets.voc`."""
    import supervision as sv

    folders = str(out / "JPEGImages"), str(out / "Annotations")
    seen = with_supervision(sv.DetectionDataset.from_pascal_voc(*folders), shift=1)
    stems = (out / f"ImageSets/Main/{split}.txt").read_text("utf-8").split()
    return {name: rows for name, rows in seen.items() if Path(name).stem in stems}


def voc_torchvision(out: Path, split: str) -> dict[str, Seen]:
    from torchvision.datasets import VOCDetection

    home = out.parent / "root" / "VOCdevkit"
    home.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        (home / "VOC2012").symlink_to(out, target_is_directory=True)
    # Of what it takes for a split, train and val are checked by name, and so the test split is not.
    asked = split if split != "test" else "train"
    data = VOCDetection(str(home.parent), year="2012", image_set=asked)
    listed = (out / f"ImageSets/Main/{split}.txt").read_text("utf-8").split()
    seen: dict[str, Seen] = {}
    for stem in listed if split == "test" else [Path(a).stem for a in data.annotations]:
        root = ElementTree.parse(out / f"Annotations/{stem}.xml").getroot()
        one = data.parse_voc_xml(root)["annotation"]
        seen[one["filename"]] = [
            (o["name"], [float(o["bndbox"][k]) for k in ("xmin", "ymin", "xmax", "ymax")], None)
            for o in one.get("object", [])
        ]
    return seen


def csv_pandas(out: Path, split: str) -> dict[str, Seen]:
    import pandas as pd

    table = pd.read_csv(out / f"images/{split}/_annotations.csv")
    seen: dict[str, Seen] = {}
    for name, rows in table.groupby("filename"):
        assert (out / f"images/{split}" / name).is_file()
        rows = rows.dropna(subset=["class"])
        boxes = rows[["xmin", "ymin", "xmax", "ymax"]].to_numpy(float).tolist()
        seen[str(name)] = [(c, b, None) for c, b in zip(rows["class"], boxes, strict=True)]
    return seen


ULTRALYTICS = """if True:
    import json, sys
    from pathlib import Path
    from ultralytics.cfg import get_cfg
    from ultralytics.data.build import build_yolo_dataset
    from ultralytics.data.utils import check_det_dataset
    data = check_det_dataset(Path(sys.argv[1]) / "data.yaml", autodownload=False)
    cfg = get_cfg(overrides={"task": sys.argv[3]})
    seen = {}
    for split in ("train", "val", "test"):
        dataset = build_yolo_dataset(cfg, data[split], 1, data, mode="val")
        rows = seen[split] = {}
        for label in dataset.labels:
            h, w = label["shape"]
            cls, boxes = label["cls"].ravel().tolist(), label["bboxes"].tolist()
            rings = [(s * [w, h]).ravel().tolist() for s in label["segments"]] or [None] * len(cls)
            rows[Path(label["im_file"]).name] = [
                [data["names"][int(c)], [(x - a / 2) * w, (y - b / 2) * h, (x + a / 2) * w,
                 (y + b / 2) * h], ring]
                for c, (x, y, a, b), ring in zip(cls, boxes, rings, strict=True)
            ]
    json.dump(seen, open(sys.argv[2], "w"))
"""


def given_place(one: tuple[str, list[float], Any]) -> int:
    """Which of the given boxes it is nearest to: ultralytics sorts the labels of an image."""
    return int(np.abs(np.subtract(BOXES, one[1])).sum(axis=1).argmin())


def with_ultralytics(out: Path, task: str) -> dict[str, dict[str, Seen]]:
    from pycocotools import mask as rle

    pytest.importorskip("ultralytics", reason="needs autolabel[test]")
    result = out.parent / "result.json"
    env = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(out.parent / "config")}
    command = [sys.executable, "-c", ULTRALYTICS, str(out.resolve()), str(result), task]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "corrupt" not in said.replace("0 corrupt", "")
    assert "duplicate labels" not in said

    def filled(ring: list[float] | None) -> npt.NDArray[np.bool_] | None:
        if ring is None:
            return None
        dense = rle.decode(rle.merge(rle.frPyObjects([ring], HEIGHT, WIDTH)))
        return np.asarray(dense, bool)

    found = json.loads(result.read_text("utf-8"))
    return {
        split: {
            name: sorted(((c, b, filled(r)) for c, b, r in rows), key=given_place)
            for name, rows in of_split.items()
        }
        for split, of_split in found.items()
    }


READERS: dict[str, Callable[[Path, str], dict[str, Seen]]] = {
    "coco by pycocotools": coco_pycocotools,
    "coco by supervision": coco_supervision,
    "voc by supervision": voc_supervision,
    "voc by torchvision": voc_torchvision,
    "csv by pandas": csv_pandas,
}


@pytest.fixture
def shared(masked: Fixture) -> Fixture:
    """Five photos, of which the last shows nothing."""
    records = list(masked.workspace.layer("images").read(0))
    masked.write(*records[:4], masked.records[4])
    assert masked.records[4].objects == Objects.empty()
    return masked


def compare(
    seen: dict[str, dict[str, Seen]],
    within_px: float,
    least_iou: float | None,
    expected: npt.ArrayLike = BOXES,
) -> None:
    assert {split: len(images) for split, images in seen.items()} == SPLITS
    images = {name: rows for of_split in seen.values() for name, rows in of_split.items()}
    assert sorted(images) == [f"{i:04d}.png" for i in range(5)]
    assert images.pop("0004.png") == []
    for rows in images.values():
        assert [label for label, _, _ in rows] == LABELS
        np.testing.assert_allclose([box for _, box, _ in rows], expected, atol=within_px)
        for (_, _, mask), given in zip(rows, [*ring_and_disc(), box_mask()], strict=True):
            if least_iou is None:
                assert mask is None
            elif mask is not None and mask.any():
                assert (mask & given).sum() / (mask | given).sum() >= least_iou
            else:
                assert given.sum() == box_mask().sum()  # a box has no mask in COCO


@pytest.mark.parametrize("reader", READERS)
def test_others_read_the_same(shared: Fixture, reader: str) -> None:
    shared.export(reader.split()[0], val_share=0.2, test_share=0.2)
    seen = {split: READERS[reader](shared.out, split) for split in SPLITS}
    compare(seen, 0.01, 1 if reader.startswith("coco") else None)


@pytest.mark.parametrize("task", ["segment", "detect"])
def test_ultralytics_reads_the_same(shared: Fixture, task: str) -> None:
    shared.export("yolo", val_share=0.2, test_share=0.2, task=task)
    seen = with_ultralytics(shared.out, task)
    if task == "segment":
        masks = np.stack([*ring_and_disc(), box_mask()])
        compare(seen, 0.01, 0.95, boxes(encode(masks), HEIGHT, WIDTH))  # of outlines, their boxes
    else:
        compare(seen, 0.01, None)


TRAINED = """if True:
    import sys
    from ultralytics import YOLO
    student, data, project = sys.argv[1:]
    YOLO(student).train(
        data=data, epochs=1, imgsz=64, batch=2, device="cpu", workers=0, plots=False, amp=False,
        project=project, name="run", verbose=False,
    )
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "student"), [("detect", "yolo26n.yaml"), ("segment", "yolo26n-seg.yaml")]
)
def test_ultralytics_trains_an_epoch(
    shared: Fixture, tmp_path: Path, task: str, student: str
) -> None:
    pytest.importorskip("ultralytics", reason="needs autolabel[test]")
    shared.export("yolo", val_share=0.2, test_share=0.2, task=task)
    env = {**os.environ, "YOLO_OFFLINE": "1", "YOLO_CONFIG_DIR": str(tmp_path / "config")}
    data, runs = str(shared.out.resolve() / "data.yaml"), str(tmp_path / "runs")
    command = [sys.executable, "-c", TRAINED, student, data, runs]
    done = subprocess.run(
        command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "corrupt" not in (done.stdout + done.stderr).replace("0 corrupt", "")
    assert (tmp_path / "runs" / "run" / "weights" / "last.pt").is_file()
