from __future__ import annotations

import json
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from autolabel.datasets.coco_json import dump, from_coco, to_coco
from autolabel.datasets.labelled import inner_path
from autolabel.errors import AutolabelError
from autolabel.types import Objects, Record

NAMES = ("cat", "dog", "чашка")


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 40, "height": 30}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 9, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 9, "name": "dog"}, {"id": 3, "name": "cat"}],
        **changes,
    }


def annotated(**fields: Any) -> dict[str, Any]:
    return coco(annotations=[{"id": 1, "image_id": 7, "category_id": 9, **fields}])


@st.composite
def records(draw: st.DrawFn) -> Record:
    width, height = draw(st.integers(1, 5000)), draw(st.integers(1, 5000))
    n = draw(st.integers(0, 4))
    share = st.floats(0, 1, width=32)
    points = np.array([draw(st.tuples(share, share, share, share)) for _ in range(n)])
    points = points.reshape(n, 2, 2) * [width, height]
    boxes = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1)
    objects = Objects.create(
        draw(st.lists(st.sampled_from(NAMES), min_size=n, max_size=n)),
        draw(st.lists(share, min_size=n, max_size=n)),
        boxes,
    )
    return Record("0" * 32, "a.jpg", width, height, objects=objects)


@given(st.lists(records(), max_size=3))
def test_boxes_classes_and_scores_survive(given_records: list[Record]) -> None:
    files = [f"{i}.jpg" for i in range(len(given_records))]
    text = "".join(dump(to_coco(given_records, NAMES, files)))
    assert text.isascii()
    names, images = from_coco(json.loads(text))
    assert names == NAMES
    assert [image.file_name for image in images] == files
    for record, image in zip(given_records, images, strict=True):
        assert (image.width, image.height) == (record.width, record.height)
        assert image.objects.label.tolist() == record.objects.label.tolist()
        np.testing.assert_array_equal(image.objects.score, record.objects.score)
        np.testing.assert_allclose(image.objects.xyxy, record.objects.xyxy, atol=0.002)


def test_rejected_objects_are_left_out_and_empty_images_are_not() -> None:
    objects = Objects.create(["cat", "dog"], [1, 1], [[0, 0, 2, 2]] * 2, keep=[False, True])
    rows = [Record("a", "a.jpg", 9, 9, objects=objects), Record("b", "b.jpg", 9, 9)]
    data = to_coco(rows, NAMES, ["a.jpg", "b.jpg"])
    assert [a["category_id"] for a in data["annotations"]] == [2]
    assert [i["id"] for i in data["images"]] == [1, 2]
    assert [c["id"] for c in data["categories"]] == [1, 2, 3]
    assert data["annotations"][0] == {
        "id": 1,
        "image_id": 1,
        "category_id": 2,
        "bbox": [0.0, 0.0, 2.0, 2.0],
        "area": 4.0,
        "iscrowd": 0,
        "segmentation": [],
        "score": 1.0,
    }


def test_a_mask_gives_its_rle_and_its_own_area() -> None:
    pixels = np.zeros((30, 40), np.uint8, order="F")
    pixels[2:6, 3:5] = 1
    mask = rle.encode(pixels)["counts"]
    objects = Objects.create(["cat"], [1], [[3, 2, 7, 8]], mask=[mask])
    data = to_coco([Record("a", "a", 40, 30, objects=objects)], NAMES, ["a.jpg"])
    (row,) = data["annotations"]
    assert row["area"] == 8
    assert row["segmentation"] == {"size": [30, 40], "counts": mask.decode()}
    (image,) = from_coco(json.loads("".join(dump(data))))[1]
    assert image.objects.mask[0] == mask


def test_an_unknown_label_is_a_bug() -> None:
    objects = Objects.create(["cow"], [1], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match="cow"):
        to_coco([Record("a", "a", 9, 9, objects=objects)], NAMES, ["a.jpg"])


def test_files_as_people_have_them_are_read() -> None:
    """Gaps in the ids, no iscrowd, no area."""
    names, (image,) = from_coco(coco())
    assert names == ("cat", "dog")
    assert image.objects.label.tolist() == ["dog"]
    assert image.objects.xyxy.tolist() == [[1, 2, 4, 6]]
    assert image.ignore.tolist() == [False]


@pytest.mark.parametrize(
    ("fields", "box", "ignored"),
    [
        ({"bbox": [4, 6, -3, -4]}, [1, 2, 4, 6], False),  # drawn from the lower right
        ({"bbox": [1, 2, 3, 4], "iscrowd": 1}, [1, 2, 4, 6], True),
        ({"bbox": [1, 2, 0, 4]}, [1, 2, 1, 6], True),  # nothing can overlap it
        ({"segmentation": [[2, 3, 8, 3, 8, 9, 2, 9]]}, [2, 3, 8, 9], False),
        ({"segmentation": {"size": [30, 40], "counts": [60, 5, 1135]}}, [2, 0, 3, 5], False),
        ({"bbox": [1, 2, 3, 4], "segmentation": [[1, 2, 3, 4]]}, [1, 2, 4, 6], False),
        ({"bbox": [1, 2, 3, 4], "segmentation": [[]]}, [1, 2, 4, 6], False),
        ({"bbox": [1, 2, 3, 4], "segmentation": [[0, 0, 1e300, 0, 1, 1]]}, [1, 2, 4, 6], False),
        ({"bbox": [1, 2, 3, 4], "segmentation": "?"}, [1, 2, 4, 6], False),
        ({"bbox": [1, 2, 3, 4], "segmentation": {"size": [1, 1], "counts": "1"}}, [1, 2, 4, 6], 0),
    ],
)
def test_boxes_and_segmentations(fields: dict[str, Any], box: list[float], ignored: bool) -> None:
    ((image,)) = from_coco(annotated(**fields))[1]
    assert image.objects.xyxy.tolist() == [box]
    assert image.ignore.tolist() == [ignored]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "images"),
        (coco(categories=None), "categories"),
        (coco(images=[{"id": 7}]), "file_name"),
        (coco(images=[3]), "id"),
        (coco(images=coco()["images"] * 2), "two images have the same id, 7"),
        (coco(annotations=coco()["annotations"] * 2), "two annotations have the same id, 1"),
        (coco(images=[]), "image_id 7"),
        (coco(categories=[]), "category_id 9"),
        (coco(categories=[{"id": [], "name": "x"}]), "wrong 'id'"),
        (annotated(), "bbox"),
        (annotated(bbox=[1, 2, 3]), "bbox"),
        (annotated(bbox=["x", 2, 3, 4]), "bbox"),
        (annotated(bbox=[float("nan"), 2, 3, 4]), "bbox"),
        (annotated(bbox=[1e300, 2, 3, 4]), "bbox"),
    ],
)
def test_what_is_wrong_is_said(data: Any, message: str) -> None:
    with pytest.raises(AutolabelError, match=message):
        from_coco(data)


@given(st.text(st.sampled_from("ab./\\:C \0"), max_size=12))
def test_no_file_name_leads_out_of_its_folder(name: str) -> None:
    inner = inner_path(name)
    if inner is not None:
        assert not inner.is_absolute()
        assert ".." not in str(inner).replace("\\", "/").split("/")
        assert "\0" not in str(inner)


BOX_30X40 = np.zeros((30, 40), np.uint8)
BOX_30X40[5:15, 10:20] = 1
WHOLE = rle.encode(np.asfortranarray(BOX_30X40))["counts"].decode()


@pytest.mark.parametrize(
    "counts",
    [
        WHOLE[:-1],
        WHOLE[:-2],
        WHOLE + "1",
        WHOLE[:-1] + chr(ord(WHOLE[-1]) + 1),
        WHOLE[:-1] + chr(ord(WHOLE[-1]) - 1),
        WHOLE + "é",
        "\ud800",
        "PPPPPPPPPPPPPPPP",
        [305, 10, 884],
        [305, 10, 886],
        [305, -10, 905],
        [10**400, 10],
        ["a", None],
        [float("nan")],
        7,
        {},
    ],
)
def test_a_mask_that_does_not_fit_is_refused_before_it_is_decoded(counts: Any) -> None:
    mask = {"size": [30, 40], "counts": counts}
    if counts == {}:  # no counts at all: the box alone
        assert (
            from_coco(annotated(bbox=[1, 2, 3, 4], segmentation=mask))[1][0].objects.mask[0] is None
        )
        return
    with pytest.raises(AutolabelError, match="annotation 1: its RLE"):
        from_coco(annotated(bbox=[1, 2, 3, 4], segmentation=mask))


@pytest.mark.parametrize("counts", [WHOLE, [1, 0, 304, 10, 885], [305, 10, 0, 0, 885]])
def test_whole_masks_are_taken(counts: Any) -> None:
    mask = {"size": [30, 40], "counts": counts}
    ((_, (image,)),) = [from_coco(annotated(bbox=[1, 2, 3, 4], segmentation=mask))]
    assert rle.area({"size": [30, 40], "counts": image.objects.mask[0]}) in (10, 100)


@pytest.mark.parametrize(
    "fields",
    [
        {"bbox": [10**400, 0, 1, 1]},
        {"id": [[[[1]]]], "bbox": json.loads("[" * 900 + "]" * 900)},
    ],
)
def test_odd_boxes_are_one_error(fields: dict[str, Any]) -> None:
    with pytest.raises(AutolabelError, match="no usable bbox"):
        from_coco(annotated(**fields))


def test_masks_that_are_not_the_images_are_counted() -> None:
    skipped: Counter[str] = Counter()
    other = {"size": [100_000, 100_000], "counts": "PPPPPPPPYo49"}
    from_coco(annotated(bbox=[1, 2, 3, 4], segmentation=other), skipped)
    data = annotated(bbox=[1, 2, 3, 4], segmentation=[[2, 3, 8, 3, 8, 9, 2, 9]])
    del data["images"][0]["width"]
    from_coco(data, skipped)
    assert skipped == {
        "masks of another size than their image": 1,
        "masks in images without width and height": 1,
    }


def test_a_mask_of_ten_thousand_million_pixels_is_refused() -> None:
    side = 100_000
    data = annotated(
        bbox=[1, 2, 3, 4], segmentation={"size": [side, side], "counts": [1, side * side - 1]}
    )
    data["images"][0] |= {"width": side, "height": side}
    with pytest.raises(AutolabelError, match="annotation 1: a mask of 100000 x 100000 pixels"):
        from_coco(data)


def test_outlines_without_end_are_refused() -> None:
    zigzag = [0, 0, 9e9, 9e9] * 5000
    data = annotated(bbox=[1, 2, 3, 4], segmentation=[zigzag])
    data["images"][0] |= {"width": 10_000, "height": 10_000}
    with pytest.raises(AutolabelError, match="outline"):
        from_coco(data)


def test_a_category_id_of_two_names_is_refused() -> None:
    twice = [{"id": 9, "name": "dog"}, {"id": 9, "name": "cat"}]
    with pytest.raises(AutolabelError, match="category id 9 is both 'dog' and 'cat'"):
        from_coco(coco(categories=twice))
