"""Which files are COCO, which of them are one data set, and results lists."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from autolabel.datasets.coco import find
from autolabel.datasets.ground_truth import read_ground_truth, read_hand_labels
from autolabel.errors import AutolabelError
from autolabel.ops.masks import areas
from autolabel.reading import LARGEST_JSON
from tests.datasets.test_ground_truth import coco_of, photo, put

PAD = " " * 200_000


def rows(**fields: Any) -> list[dict[str, Any]]:
    return [{"image_id": 0, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5, **fields}]


# -- which files are meant ---------------------------------------------------------------------


def roboflow(root: Path) -> Path:
    """A data set as Roboflow exports it: a heading that no label has, names of its own."""
    for i, split in enumerate(("valid", "train", "test")):
        name = f"IMG_{i}_jpg.rf.0123456789abcdef0123456789abcdef.png"
        data = coco_of(name)
        data["categories"] = [
            {"id": 0, "name": "pets", "supercategory": "none"},
            {"id": 1, "name": "dog", "supercategory": "pets"},
            {"id": 2, "name": "cat", "supercategory": "pets"},
        ]
        photo(root / split / name)
        put(root / split / "_annotations.coco.json", data)
    return root


def test_roboflow_splits_are_one_data_set(tmp_path: Path) -> None:
    truth = read_hand_labels(roboflow(tmp_path))
    assert truth.names == ("dog", "cat")
    assert [r.name[:5] for r in truth.records] == ["IMG_1", "IMG_0", "IMG_2"]
    assert all(r.path and r.objects.label.tolist() == ["dog"] for r in truth.records)
    (one,) = read_ground_truth(tmp_path / "valid").records
    assert one.name.startswith("IMG_0")


@pytest.mark.parametrize(
    "files",
    [
        ("annotations/instances_train2017.json", "annotations/instances_val2017.json"),
        ("annotations/train.json", "annotations/test.json"),
        ("train.json", "validation.json"),
    ],
)
def test_files_that_differ_by_the_split_are_one_data_set(
    tmp_path: Path, files: tuple[str, str]
) -> None:
    for i, file in enumerate(files):
        photo(tmp_path / "images" / f"{i}.png")
        put(tmp_path / file, coco_of(f"{i}.png"))
    assert [r.name for r in read_ground_truth(tmp_path).records] == ["0.png", "1.png"]


def test_files_that_differ_otherwise_are_not(tmp_path: Path) -> None:
    put(tmp_path / "annotations" / "instances_val2017.json", coco_of("0.png"))
    put(tmp_path / "annotations" / "person_keypoints_val2017.json", coco_of("0.png"))
    with pytest.raises(AutolabelError, match="more than one set of labels"):
        read_ground_truth(tmp_path)


def test_a_heading_that_a_label_has_is_a_class(tmp_path: Path) -> None:
    data = coco_of("0.png")
    data["categories"] = [
        {"id": 1, "name": "pets"},
        {"id": 2, "name": "a", "supercategory": "pets"},
    ]
    photo(tmp_path / "0.png")
    put(tmp_path / "all.json", data)
    assert read_ground_truth(tmp_path).names == ("pets", "a")


def test_masks_in_images_without_a_size_are_of_the_size_that_they_have(tmp_path: Path) -> None:
    data = coco_of("0.png", "gone.png")
    for image in data["images"]:
        del image["width"]
    for one in data["annotations"]:
        one["segmentation"] = [[24, 16, 72, 16, 72, 48, 24, 48]]
    photo(tmp_path / "0.png")
    put(tmp_path / "all.json", data)
    truth = read_ground_truth(tmp_path)
    seen, gone = truth.records
    assert areas([seen.objects.mask[0]], 64, 96).tolist() == [48 * 32]
    assert gone.objects.mask[0] is None
    assert truth.skipped == {"masks in images without width and height": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("order", ["iac", "cai"])
def test_a_file_is_known_by_its_lists_wherever_they_are(
    tmp_path: Path, order: str, encoding: str
) -> None:
    whole = coco_of("0.png")
    keys = [next(key for key in whole if key[0] == letter) for letter in order]
    text = json.dumps({"info": {}} | {key: whole[key] for key in keys})
    text = text.replace('"annotations": [', f'"annotations"\n:{PAD[:9]}[{PAD}')
    (tmp_path / "a.json").write_text(text, encoding)
    assert [one.sure for one in find(tmp_path)] == [True]
    assert len(read_ground_truth(tmp_path).records) == 1


def test_other_json_is_neither_parsed_nor_held(tmp_path: Path) -> None:
    """Not even where it is no JSON: a LabelMe file of 40 MB, a list, a file of lines."""
    put(tmp_path / "label.json", '{"shapes": [], "imageData": "' + "x" * 40_000_000)
    put(tmp_path / "list.json", "[" * 3_000_000)
    put(tmp_path / "lines.json", '{"a": 1}\n{"a": 2}\n')
    put(tmp_path / "tasks.json", [coco_of("0.png")])
    tracemalloc.start()
    assert list(find(tmp_path)) == []
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize("named", [False, True])
def test_what_is_too_large_is_refused_unread(tmp_path: Path, named: bool) -> None:
    file = put(tmp_path / "large.json", json.dumps(coco_of("0.png")))
    with file.open("ab") as stream:
        stream.truncate(LARGEST_JSON + 1)
    tracemalloc.start()
    with pytest.raises(AutolabelError, match="larger than 512 MiB") as raised:
        read_ground_truth(file if named else tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "split" in raised.value.hint
    assert peak < 2_000_000


def test_a_file_of_nothing_but_lists_is_refused_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autolabel.reading.MOST_LISTS", 1000)
    data = coco_of("0.png")
    file = put(tmp_path / "a.json", data)
    assert len(read_ground_truth(file).records) == 1
    put(file, data | {"info": [[]] * 1000})
    with pytest.raises(AutolabelError, match="more than 1,000 lists and objects"):
        read_ground_truth(file)


# -- results lists -----------------------------------------------------------------------------


@pytest.mark.parametrize("folder", ["", "annotations"])
def test_results_are_read_with_the_file_beside_them(tmp_path: Path, folder: str) -> None:
    photo(tmp_path / "0.png")
    photo(tmp_path / "1.png")
    put(tmp_path / folder / "truth.json", coco_of("0.png", "1.png"))
    results = put(tmp_path / "results.json", rows())
    truth = read_ground_truth(results)
    assert truth.names == ("cat", "dog")
    assert [len(r.objects) for r in truth.records] == [1, 0]
    (first, _) = truth.records
    assert first.path is not None
    assert (first.objects.label.tolist(), first.objects.score.tolist()) == (["dog"], [0.5])
    assert first.objects.xyxy.tolist() == [[1, 2, 4, 6]]
    # The folder is what people drew.
    assert [len(r.objects) for r in read_ground_truth(tmp_path).records] == [1, 1]


@pytest.mark.parametrize(
    ("given", "beside", "message"),
    [
        (rows(), [], "none is there"),
        (rows(), ["a.json", "b.json"], r"a\.json, .*b\.json"),
        (rows(image_id=9), ["a.json"], "results.json: .*image_id 9, which no image has"),
        (rows(category_id=9), ["a.json"], "category_id 9"),
        (rows(bbox=[0, 0, float("inf"), 1]), ["a.json"], "no usable bbox"),
    ],
)
def test_results_that_lead_nowhere_are_refused(
    tmp_path: Path, given: list[Any], beside: list[str], message: str
) -> None:
    for name in beside:
        put(tmp_path / name, coco_of("0.png"))
    with pytest.raises(AutolabelError, match=message):
        read_ground_truth(put(tmp_path / "results.json", given))
