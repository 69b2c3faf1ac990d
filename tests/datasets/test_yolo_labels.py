from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from autolabel.datasets.yolo_labels import from_yolo_label, to_yolo_label, to_yolo_outlines
from autolabel.errors import AutolabelError
from autolabel.ops.masks import boxes, decode, encode
from autolabel.ops.polygons import outlines
from autolabel.types import Objects, Record
from tests.datasets.test_coco_json import NAMES, records


@given(records())
def test_boxes_survive_within_a_millionth_of_the_image(record: Record) -> None:
    size = record.width, record.height
    back = from_yolo_label(to_yolo_label(record.objects, NAMES, *size), NAMES, *size)
    assert back.label.tolist() == record.objects.label.tolist()
    np.testing.assert_allclose(
        back.xyxy / [*size, *size], record.objects.xyxy / [*size, *size], atol=1e-6
    )


def test_rejected_objects_are_left_out_and_nothing_is_an_empty_file() -> None:
    objects = Objects.create(["cat", "dog"], [1, 1], [[0, 0, 2, 2]] * 2, keep=[False, True])
    assert to_yolo_label(objects, NAMES, 4, 4).startswith("1 0.25")
    assert to_yolo_label(Objects.empty(), NAMES, 4, 4) == ""


def test_an_unknown_label_is_a_bug() -> None:
    with pytest.raises(ValueError, match="cow"):
        to_yolo_label(Objects.create(["cow"], [1], [[0, 0, 1, 1]]), NAMES, 4, 4)


@pytest.mark.parametrize(
    ("line", "box", "score"),
    [
        ("1 0.5 0.5 1 1", [0, 0, 100, 50], 1),
        ("\ufeff1 .5 .5 1 1\r\n\r\n", [0, 0, 100, 50], 1),
        ("1.0 0.5 0.5 1 1", [0, 0, 100, 50], 1),
        ("1 0.5 0.5 1 1 0.25", [0, 0, 100, 50], 0.25),
        ("1 0.1 0.2 0.3 0.2 0.3 0.6", [10, 10, 30, 30], 1),
        ("1 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6", [10, 10, 30, 30], 1),
    ],
)
def test_boxes_scores_and_polygons_are_read(line: str, box: list[float], score: float) -> None:
    objects = from_yolo_label(line, NAMES, 100, 50)
    assert objects.label.tolist() == ["dog"]
    np.testing.assert_allclose(objects.xyxy, [box], atol=1e-4)
    assert objects.score.tolist() == [score]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 0.5 0.5 1 1", "class 3"),
        ("-1 0.5 0.5 1 1", "class -1"),
        ("0.5 0.5 0.5 1 1", "class 0.5"),
        ("nan 0.5 0.5 1 1", "class nan"),
        ("cat 0.5 0.5 1 1", "not a number"),
        ("0 0.5 0.5", "3 values"),
        ("0 .1 .1 .1 .1 .1 .1 .1", "8 values"),
        ("0 320 240 10 10", "between 0 and 1"),
        ("0 nan 0.5 1 1", "between 0 and 1"),
        ("0 0.5 0.5 1 1 7", "between 0 and 1"),
    ],
)
def test_an_error_names_the_line(line: str, message: str) -> None:
    with pytest.raises(AutolabelError, match=f"line 2: .*{message}"):
        from_yolo_label(f"0 0.5 0.5 1 1\n{line}\n", NAMES, 100, 50)


def test_each_line_of_a_mixed_file_counts_for_itself() -> None:
    text = "0 0.5 0.5 1 1\n1 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6\n2 0.5 0.5 1 1 0.25\n"
    objects = from_yolo_label(text, NAMES, 100, 50)
    assert [mask is not None for mask in objects.mask] == [False, True, False]
    (mask,) = decode([objects.mask[1]], 50, 100)
    assert mask.sum() == 20 * 20
    assert mask[10:30, 10:30].all()
    np.testing.assert_allclose(objects.xyxy[1], [10, 10, 30, 30], atol=1e-4)
    assert from_yolo_label(text, NAMES, 100, 50, masks=False).mask.tolist() == [None] * 3


@pytest.mark.parametrize("line", ["0 .5 .5 .5 .5 .5 .5", "0 .1 .1 .9 .1 .5 .1"])
def test_an_outline_without_pixels_is_its_box(line: str) -> None:
    objects = from_yolo_label(line, NAMES, 100, 50)
    assert objects.mask.tolist() == [None]


def test_an_outline_that_is_too_long_to_fill_is_refused() -> None:
    with pytest.raises(AutolabelError, match="line 1: the outline"):
        from_yolo_label("0 " + "0 0 1 1 " * 3000, NAMES, 20_000, 20_000)


def test_holes_and_parts_survive_in_one_line() -> None:
    ys, xs = np.mgrid[:48, :64]
    distance = np.hypot(xs - 24, ys - 24)
    ring = (distance < 20) & (distance > 10)
    ring[40:44, 56:60] = True
    (mask,) = encode(ring[None])
    objects = Objects.create(["cat"], [1], boxes([mask], 48, 64), mask=[mask])
    text = to_yolo_outlines(objects, NAMES, 64, 48, [outlines(mask, 48, 64)])
    assert text.count("\n") == 1
    back = from_yolo_label(text, NAMES, 64, 48)
    (seen,) = decode([back.mask[0]], 48, 64)
    assert (seen & ring).sum() / (seen | ring).sum() > 0.95
    np.testing.assert_allclose(back.xyxy, objects.xyxy, atol=0.6)
