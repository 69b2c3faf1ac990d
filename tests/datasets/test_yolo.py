"""Which files a YOLO dataset is, as Roboflow and others lay it out."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.errors import AutolabelError
from tests.datasets.test_ground_truth import LABEL, check, photo, put

SPLITS = ("valid", "test", "train")
ROBOFLOW = "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: "


def roboflow(root: Path, *splits: str) -> Path:
    for i, split in enumerate(splits):
        photo(root / split / "images" / f"{i}_jpg.rf.0123456789abcdef.png")
        put(root / split / "labels" / f"{i}_jpg.rf.0123456789abcdef.txt", LABEL)
    put(root / "data.yaml", ROBOFLOW + "['cat', 'dog']\nroboflow:\n  license: CC BY 4.0\n")
    return root


def test_roboflow_splits_are_one_data_set(tmp_path: Path) -> None:
    root = roboflow(tmp_path / "set", *SPLITS)
    truth = read_ground_truth(root)
    check(truth, *(f"{i}_jpg.rf.0123456789abcdef.png" for i in range(3)))
    check(read_ground_truth(root / "data.yaml"), "0_jpg.rf.0123456789abcdef.png")


def test_a_test_split_need_not_be_there_and_others_must(tmp_path: Path) -> None:
    assert len(read_ground_truth(roboflow(tmp_path / "a", "valid", "train")).records) == 2
    with pytest.raises(AutolabelError, match="valid/images, which is not there"):
        read_ground_truth(roboflow(tmp_path / "b", "train", "test"))


def test_a_test_split_alone_must_be_there(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", "test: images/test\nnames: [cat]")
    with pytest.raises(AutolabelError, match="images/test, which is not there"):
        read_ground_truth(tmp_path)


def test_a_label_file_that_is_no_photos_is_refused_unread(tmp_path: Path) -> None:
    root = roboflow(tmp_path, "train")
    put(root / "data.yaml", "train: train/images\nnames: [cat, dog]")
    with next(root.glob("train/labels/*.txt")).open("ab") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(AutolabelError, match="larger than 64 MiB"):
        read_ground_truth(root)
