"""CSV tables: what is written, which tables of others are read, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.datasets.base import ExportImage, WriteOptions
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.names import from_cell, original_names, to_cell
from autolabel.datasets.table import COLUMNS, from_csv, write
from autolabel.errors import AutolabelError
from autolabel.ops.masks import decode, encode
from autolabel.types import Objects, Record
from tests.datasets.test_ground_truth import check, photo, put

ROBOFLOW = "filename,width,height,class,xmin,ymin,xmax,ymax\n"
ROW = "0.png,96,64,dog,24,16,72,48\n"


def written(folder: Path, *images: ExportImage, masks: bool = False) -> list[list[str]]:
    names = ["cat", "=SUM(A1)", "dog"]
    write(folder, {"train": images}, WriteOptions(names, masks))
    with (folder / "images/train/_annotations.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def image(stem: str, objects: Objects) -> ExportImage:
    return ExportImage(Record("", "", 64, 48, objects=objects), "images/train", stem, ".png")


def test_the_columns_are_roboflows_and_ours_after_them(tmp_path: Path) -> None:
    mask = np.zeros((1, 48, 64), bool)
    mask[0, 2:6, 1:4] = True
    (counts,) = encode(mask)
    objects = Objects.create(["dog", "cat"], [0.35, 1], [[1, 2, 4, 6], [0, 0.25, 63.5, 48]],
                             mask=[counts, None])  # fmt: skip
    rows = written(tmp_path, image("a", objects), image("b", Objects.empty()), masks=True)
    assert rows[0] == [*ROBOFLOW.strip().split(","), "score", "mask", "source"]
    ours = "labelled by autolabel"
    assert rows[1:] == [
        ["a.png", "64", "48", "dog", "1", "2", "4", "6", "0.35", f"rle:{counts.decode()}", ours],
        ["a.png", "64", "48", "cat", "0", "0.25", "63.5", "48", "1.0", "", ours],
        ["b.png", "64", "48", *[""] * 7, ours],
    ]


def test_nothing_in_it_is_a_formula(tmp_path: Path) -> None:
    objects = Objects.create(["=SUM(A1)"], [1], [[0, 0, 4, 6]])
    rows = written(tmp_path, *(image(stem, objects) for stem in ("-x", "@a", "=b", "+c")))
    for row in rows[1:]:
        assert not any(cell.startswith(("=", "+", "-", "@")) for cell in row)
        assert (tmp_path / "images" / row[0]).name in {"-x.png", "@a.png", "=b.png", "+c.png"}
        photo(tmp_path / "images" / "train" / row[0])
    truth = read_ground_truth(tmp_path)
    assert truth.names == ("=SUM(A1)",)
    assert [r.name for r in truth.records] == ["-x.png", "@a.png", "=b.png", "+c.png"]
    assert all(r.path for r in truth.records)


@given(st.text(st.sampled_from("'=+-@\t\ra"), max_size=6))
def test_every_name_survives_its_cell(name: str) -> None:
    assert from_cell(to_cell(name)) == name
    assert not to_cell(name).startswith(("=", "+", "-", "@", "\t", "\r"))


@pytest.mark.parametrize(
    ("table", "folder"),
    [
        ("_annotations.csv", ""),
        ("train/_annotations.csv", "train"),
        ("images/val/_annotations.csv", "images/val"),
        ("data/train_labels.csv", "images/train"),
        ("boxes.csv", "images"),
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        ROBOFLOW + ROW,
        "\ufeff" + ROBOFLOW + ROW.replace("\n", "\r\n"),
        ROBOFLOW.replace(",", ";") + ROW.replace(",", ";"),
        "image_path,xmin,ymin,xmax,ymax,label\n0.png,24,16,72,48,dog\n",
        '"Filename","Class","X1","Y1","X2","Y2","path"\n"0.png","dog","72","48","24","16","x/y"\n',
    ],
)
def test_tables_of_others_are_read(tmp_path: Path, table: str, folder: str, text: str) -> None:
    photo(tmp_path / folder / "0.png")
    put(tmp_path / table, text)
    check(read_ground_truth(tmp_path / table), "0.png")
    if not table.startswith("data"):
        check(read_ground_truth(tmp_path), "0.png")


def test_roboflow_splits_are_one_data_set(tmp_path: Path) -> None:
    for i, split in enumerate(("valid", "train", "test")):
        photo(tmp_path / split / f"{i}.png")
        put(tmp_path / split / "_annotations.csv", ROBOFLOW + ROW.replace("0.png", f"{i}.png"))
    check(read_ground_truth(tmp_path), "1.png", "0.png", "2.png")


def test_rows_without_a_box_are_images_without_objects() -> None:
    (first, second) = from_csv(f"{ROBOFLOW}a.png,9,9,,,,,\nb.png,,,\n")[1]
    assert (len(first.objects), len(second.objects)) == (0, 0)
    assert (first.width, second.width) == (9, 0)


def test_a_mask_longer_than_the_module_allows_is_read() -> None:
    noise = np.random.default_rng(0).random((1, 500, 700)) < 0.5
    (counts,) = encode(noise)
    assert len(counts) > csv.field_size_limit()
    head = ",".join(COLUMNS[:10])
    ((one,)) = from_csv(f"{head}\na.png,700,500,cat,0,0,700,500,1,rle:{counts.decode()}\n")[1]
    assert (decode([one.objects.mask[0]], 500, 700) == noise).all()
    assert csv.field_size_limit() == 131_072


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,9,9,cat,1,2,3,x", "line 3: 'x' is no coordinate"),
        ("a,9,9,cat,1,2,3,nan", "'nan' is no coordinate"),
        ("a,9,9,cat,1,2,3,1e300", "'1e300' is no coordinate"),
        ("a,9,9,cat,1,2,3,", "'' is no coordinate"),
        ("a,9,9,,1,2,3,4", "the box has no class"),
        (",9,9,cat,1,2,3,4", "no file name"),
        ("0.png,9,9,cat,1,2,3,4", "the size of 0.png"),
        ("a,9,9,cat,1,2,3,4,2", "score 2 is not between"),
        ("a,9,9,cat,1,2,3,4,nan", "'nan' is no"),
        ("a,9,9,cat,1,2,3,4,1,rle:99", "RLE is damaged"),
        ("a,100000,100000,cat,1,2,3,4,1,rle:0", "mask of 100000 x 100000"),
        ("a,,,cat,1,2,3,4,1,rle:0", "mask of 0 x 0"),
    ],
)
def test_an_error_names_the_line(row: str, message: str) -> None:
    with pytest.raises(AutolabelError, match=f"line 3: .*{message.removeprefix('line 3: ')}"):
        from_csv(f"{','.join(COLUMNS)}\n{ROW}{row}\n")


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "filename,label\n0.png,dog\n", "\0", "PK\3\4"])
def test_other_tables_are_left_alone(tmp_path: Path, text: str) -> None:
    file = put(tmp_path / "notes.csv", text)
    with pytest.raises(AutolabelError, match="no hand labels found"):
        read_ground_truth(tmp_path)
    with pytest.raises(AutolabelError, match="no column"):
        read_ground_truth(file)


def test_names_before_roboflow() -> None:
    hash_1, hash_2 = "0" * 32, "AbCdEf0123456789xyz"
    assert original_names(f"a.b_jpeg.rf.{hash_1}.jpg") == ("a.b.jpeg",)
    assert original_names(f"чашка_1_PNG.rf.{hash_2}.png") == ("чашка_1.PNG",)
    for name in ("a.jpg", "rf.jpg", f"a.rf.{hash_1}.jpg", "a_jpg.rf.short.jpg"):
        assert original_names(name) == ()
