from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id
from tests.conftest import SAMPLE, make_photos
from tests.datasets.test_voc import thing, voc

SIZE = 96, 64
LABEL = "1 0.5 0.5 0.5 0.5\n"
BOX = [24, 16, 72, 48]


def coco_of(*names: str) -> dict[str, Any]:
    return {
        "images": [
            {"id": i, "file_name": name, "width": 96, "height": 64} for i, name in enumerate(names)
        ],
        "annotations": [
            {"id": i, "image_id": i, "category_id": 1, "bbox": [24, 16, 48, 32]}
            for i in range(len(names))
        ],
        "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
    }


def put(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return path


def photo(path: Path) -> Path:
    """A photo of its own, named so."""
    return make_photos(path.parent, 1)[0].rename(path)


def check(truth: GroundTruth, *names: str) -> None:
    assert [r.name for r in truth.records] == list(names)
    for record in truth.records:
        assert record.path is not None
        assert record.image_id == content_id(record.path.read_bytes())
        assert (record.width, record.height) == SIZE
        assert record.objects.label.tolist() == ["dog"]
        assert record.objects.xyxy.tolist() == [BOX]


@pytest.mark.parametrize(
    ("labels", "image", "name"),
    [
        ("annotations.json", "0.png", "0.png"),
        ("_annotations.coco.json", "0.png", "0.png"),
        ("whatever.json", "images/0.png", "0.png"),
        ("annotations.json", "images/val/0.png", "images/val/0.png"),
        ("annotations.json", "a/0.png", r"a\0.png"),
        ("annotations/instances_val2017.json", "val2017/0.png", "0.png"),
        ("annotations/instances_part7.json", "images/part7/0.png", "0.png"),
        ("annotations/instances_default.json", "images/0.png", "0.png"),
        ("valid/_annotations.coco.json", "valid/0.png", "0.png"),
    ],
)
def test_coco_layouts(tmp_path: Path, labels: str, image: str, name: str) -> None:
    photo(tmp_path / image)
    put(tmp_path / labels, coco_of(name))
    check(read_ground_truth(tmp_path), name)
    check(read_ground_truth(tmp_path / labels), name)


def test_a_file_is_found_from_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photo(tmp_path / "images" / "0.png")
    put(tmp_path / "annotations" / "all.json", coco_of("0.png"))
    monkeypatch.chdir(tmp_path / "annotations")
    check(read_ground_truth(Path("all.json")), "0.png")


def test_an_image_that_is_not_there_keeps_its_labels(tmp_path: Path) -> None:
    put(tmp_path / "annotations.json", coco_of("gone.png"))
    (record,) = read_ground_truth(tmp_path).records
    assert (record.path, record.image_id) == (None, None)
    assert (record.width, record.height) == SIZE
    assert record.objects.xyxy.tolist() == [BOX]


@pytest.mark.parametrize("name", ["../0.png", "/{root}/0.png", "a/../../0.png", "..\\0.png"])
def test_nothing_outside_the_folder_is_opened(tmp_path: Path, name: str) -> None:
    photo(tmp_path / "0.png")
    name = name.replace("/{root}", str(tmp_path))
    put(tmp_path / "set" / "annotations.json", coco_of(name))
    (record,) = read_ground_truth(tmp_path / "set").records
    assert (record.name, record.path) == (name, None)
    photo(tmp_path / "set" / "images" / "0.png")
    check(read_ground_truth(tmp_path / "set"), name)


def test_sizes_are_those_of_the_upright_image(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((30, 50, 3), np.uint8)).save(tmp_path / "0.jpg", exif=exif)
    data = coco_of("0.jpg")
    del data["images"][0]["width"]
    file = put(tmp_path / "annotations.json", data)
    (record,) = read_ground_truth(tmp_path).records
    assert (record.width, record.height) == (30, 50)
    file.unlink()
    put(tmp_path / "0.txt", LABEL)
    put(tmp_path / "classes.txt", "cat\ndog\n")
    (record,) = read_ground_truth(tmp_path).records
    assert (record.width, record.height) == (30, 50)
    np.testing.assert_allclose(record.objects.xyxy, [[7.5, 12.5, 22.5, 37.5]])


@pytest.mark.parametrize("suffix", ["", "/data.yaml"])
@pytest.mark.parametrize(
    ("text", "images", "labels"),
    [
        ("val: images/val\ntrain: images/no", "images/val", "labels/val"),
        ("path: {root}\nval: images/val", "images/val", "labels/val"),
        ("path: /moved/away\nval: images/val", "images/val", "labels/val"),
        ("path: .\nval: [images/val]", "images/val", "labels/val"),
        ("val: ../valid/images", "valid/images", "valid/labels"),
        ("test: images", "images", "labels"),
        ("val: list.txt", "images", "labels"),
        ("train: images/a\nval: images/a", "images/a", "labels/a"),
    ],
)
def test_yolo_layouts(tmp_path: Path, suffix: str, text: str, images: str, labels: str) -> None:
    root = tmp_path / "set"
    photo(root / images / "0.png")
    put(root / labels / "0.txt", LABEL)
    put(root / "list.txt", "./images/0.png\n")
    (root / "images" / "no").mkdir(parents=True, exist_ok=True)
    photo(root / "images" / "no" / "1.png")
    put(root / "labels" / "no" / "1.txt", LABEL)
    put(root / "data.yaml", text.replace("{root}", str(root)) + "\nnames: [cat, dog]")
    both_splits = not suffix and "train: images/no" in text
    names = ["0.png", "1.png"] if both_splits or text == "test: images" else ["0.png"]
    check(read_ground_truth(Path(f"{root}{suffix}")), *names)


def test_yolo_without_a_label_file_is_background(tmp_path: Path) -> None:
    make_photos(tmp_path / "images", 2)
    put(tmp_path / "labels" / "0001.txt", LABEL)
    put(tmp_path / "labels" / "classes.txt", "cat\ndog\n")
    truth = read_ground_truth(tmp_path)
    assert truth.names == ("cat", "dog")
    assert [len(r.objects) for r in truth.records] == [0, 1]
    assert [r.looked_at for r in truth.records] == [False, True]


@pytest.mark.parametrize("folder", ["", "Annotations"])
def test_voc_layouts(tmp_path: Path, folder: str) -> None:
    head = "<filename>a.png</filename>"
    put(tmp_path / folder / "a.xml", voc(thing("24 16 72 48", "dog"), head=head))
    put(tmp_path / folder / "b.xml", voc(thing("24 16 72 48", "dog"), head=head.replace("a", "z")))
    photo(tmp_path / ("JPEGImages" if folder else "") / "a.png")
    photo(tmp_path / ("JPEGImages" if folder else "") / "b.png")
    truth = read_ground_truth(tmp_path)
    assert truth.names == ("dog",)
    check(truth, "a.png", "b.png")
    check(read_ground_truth(tmp_path / folder / "b.xml"), "b.png")


def test_the_sample_is_read() -> None:
    truth = read_ground_truth(SAMPLE / "blood_cells" / "validation")
    assert len(truth.records) == 72
    assert len(truth.names) == 3
    assert all(r.image_id for r in truth.records)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "no hand labels found"),
        ({"notes.json": {"a": 1}, "list.json": []}, "no hand labels found"),
        ({"a.json": coco_of("x"), "annotations/b.json": coco_of("x")}, "a.json.*b.json"),
        ({"a.json": coco_of("x"), "x.xml": voc()}, "more than one"),
        ({"a.json": json.dumps(coco_of("x"))[:-40]}, "a.json is not valid JSON"),
        ({"a.json": {**coco_of("x"), "categories": []}}, "a.json: .*category_id"),
        ({"a.json": coco_of()}, "name no image"),
        ({"x.xml": b"<x/>"}, "x.xml: its root"),
        ({"labels/0.txt": LABEL}, "nothing that names the classes"),
        ({"data.yaml": "names: [a]"}, "names no images"),
        ({"data.yaml": "names: [a]\nval: images"}, "images, which is not there"),
        ({"data.yaml": "names: [a]\nval: /etc"}, "/etc, which is outside"),
        ({"data.yaml": "path: /\nval: etc\nnames: [a]"}, "etc, which is outside"),
        ({"data.yaml": "names: 3\nval: images"}, "data.yaml: .*gaps"),
        ({"data.yaml": b"\xff\xfe"}, "not UTF-8"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: dict[str, Any], message: str) -> None:
    for name, content in files.items():
        put(tmp_path / name, content)
    with pytest.raises(AutolabelError, match=f"(?s){message}"):
        read_ground_truth(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", '{"shapes": []}', "a.json: there is no list 'images'"),
        ("a.xml", "<annotations/>", "a.xml: its root is <annotations>"),
        ("a.yaml", "train: images", "a.yaml: it has no names"),
    ],
)
def test_a_file_of_no_format_is_read_by_its_ending(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(AutolabelError, match=message):
        read_ground_truth(put(tmp_path / name, text))


def test_labels_that_are_sure_come_before_those_that_only_end_so(tmp_path: Path) -> None:
    photo(tmp_path / "0.png")
    put(tmp_path / "annotations.json", coco_of("0.png"))
    put(tmp_path / "notes.xml", "<notes/>")
    (tmp_path / "labels").mkdir()
    check(read_ground_truth(tmp_path), "0.png")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({}, "none of the 1 images"),
        ({"0": "9 0.5 0.5 1 1"}, "0.txt: line 1: class 9"),
        ({"0": LABEL, "5": LABEL}, "1 label files have no image.*5.txt"),
    ],
)
def test_wrong_yolo_labels_are_refused(
    tmp_path: Path, labels: dict[str, str], message: str
) -> None:
    photo(tmp_path / "images" / "0.png")
    put(tmp_path / "classes.txt", "cat\ndog\n")
    for name, text in labels.items():
        put(tmp_path / "labels" / f"{name}.txt", text)
    with pytest.raises(AutolabelError, match=message):
        read_ground_truth(tmp_path)


def test_missing_and_unreadable_files_are_refused(tmp_path: Path) -> None:
    for name in ("nowhere", "notes.md"):
        if name == "notes.md":
            put(tmp_path / name, "x")
        with pytest.raises(AutolabelError, match=name) as e:
            read_ground_truth(tmp_path / name)
        assert "COCO" in e.value.hint
    put(tmp_path / "classes.txt", "cat\ndog\n")
    put(tmp_path / "0.png", b"no image")
    put(tmp_path / "0.txt", LABEL)
    with pytest.raises(AutolabelError, match=r"0\.png is not usable"):
        read_ground_truth(tmp_path)


def test_only_regular_files_are_opened(tmp_path: Path) -> None:
    for name in ("a.json", "data.yaml", "a.xml"):
        os.mkfifo(tmp_path / name)
        with pytest.raises(AutolabelError, match="not a regular file"):
            read_ground_truth(tmp_path / name)
        (tmp_path / name).unlink()
    (tmp_path / "zero.json").symlink_to("/dev/zero")
    with pytest.raises(AutolabelError, match="not a regular file"):
        read_ground_truth(tmp_path)
    with (tmp_path / "sparse.yaml").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(AutolabelError, match="larger than"):
        read_ground_truth(tmp_path / "sparse.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", "[" * 100_000),
        ("a.json", '{"images": [], "annotations": [], "categories": "\\ud800"}'),
        ("data.yaml", "names: " + "[" * 5000),
        ("data.yaml", 'names: ["\\ud800"]'),
        ("data.yaml", "names: !!bool x"),
        ("data.yaml", "names: !!timestamp x"),
        ("data.yaml", "names: {.inf: cat}"),
        ("data.yaml", "names: &a [*a]"),
        ("data.yaml", "nc: " + "1:" * 100_000 + "1"),
    ],
)
def test_what_cannot_be_parsed_is_one_error(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(AutolabelError, match=name) as raised:
        read_ground_truth(put(tmp_path / name, text))
    raised.value.message.encode()


def test_nested_aliases_cost_no_memory(tmp_path: Path) -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for this, before in zip("bcdefghi", "abcdefgh", strict=True):
        lines.append(f"{this}: &{this} [{', '.join([f'*{before}'] * 10)}]")
    bomb = put(tmp_path / "data.yaml", "\n".join([*lines, "names: *i"]))
    assert bomb.stat().st_size < 500
    with pytest.raises(AutolabelError, match="aliases"):
        read_ground_truth(bomb)


def test_an_image_that_is_listed_again_counts_once(tmp_path: Path) -> None:
    photo(tmp_path / "0.png")
    data = coco_of(*["0.png"] * 6)
    data["annotations"][5]["bbox"] = [0, 0, 5, 5]
    put(tmp_path / "annotations.json", data)
    truth = read_ground_truth(tmp_path)
    (record,) = truth.records
    assert truth.repeated == 5
    assert record.objects.xyxy.tolist() == [BOX, [0, 0, 5, 5]]
    assert record.ignore.tolist() == [False, False]


def test_names_that_no_file_has(tmp_path: Path) -> None:
    put(tmp_path / "data.yaml", f"names: [cat]\nval: {'x' * 5000}")
    with pytest.raises(AutolabelError, match="not there"):
        read_ground_truth(tmp_path)
    photo(tmp_path / "images" / "0.png")
    put(tmp_path / "data.yaml", "names: [cat]\nval: list.txt")
    put(tmp_path / "list.txt", "x" * 5000)
    with pytest.raises(AutolabelError):
        read_ground_truth(tmp_path)
