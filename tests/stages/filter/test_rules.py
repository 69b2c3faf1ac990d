from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from autolabel.config import FilterConfig
from autolabel.stages.filter import Filter
from autolabel.types import EXCLUDED, Objects, Record

WIDTH, HEIGHT = 100, 50


def judged(objects: Objects, **options: Any) -> list[str | None]:
    """The reason of each label, None where it was kept."""
    config = FilterConfig(**options)
    record = Record("a", "a.png", WIDTH, HEIGHT, objects=objects)
    (result,) = Filter(config)([record])
    found = result.objects
    assert [r is None for r in found.reason] == found.keep.tolist()
    assert np.array_equal(found.xyxy, objects.xyxy)
    return found.reason.tolist()


def boxes(*rows: tuple[str, float, list[float]], **more: Any) -> Objects:
    labels, scores, xyxy = zip(*rows, strict=True)
    return Objects.create(labels, scores, xyxy, **more)


A, B = [10, 10, 30, 30], [60, 10, 80, 30]


@pytest.mark.parametrize(
    ("rows", "options", "expected"),
    [
        ([("cat", 0.3, A), ("cat", 0.29, B)], {"min_score": 0.3}, [None, "min_score: 0.29 < 0.3"]),
        (
            [("cat", 0.5, A), ("dog", 0.5, B)],
            {"class_min_score": {"dog": 0.6}},
            [None, "min_score: 0.50 < 0.6"],
        ),
        ([("cat", 1, [0, 0, 40, 4]), ("cat", 1, A)], {"min_side": 6}, ["min_side: 4 px < 6", None]),
        (
            [("cat", 1, [0, 0, 40, 8]), ("cat", 1, A)],
            {"max_aspect": 4},
            ["max_aspect: 5.00 > 4", None],
        ),
        (
            [("cat", 1, [0, 0, 5, 5]), ("cat", 1, A)],
            {"min_area": 26},
            ["min_area: 25 px² < 26", None],
        ),
        (
            [("cat", 1, [0, 0, 5, 5]), ("cat", 1, A)],
            {"min_share": 0.01},
            ["min_share: 0.0050 < 0.01", None],
        ),
        (
            [("cat", 1, [0, 0, 100, 48]), ("cat", 1, A)],
            {"max_share": 0.9},
            ["max_share: 0.960 > 0.9", None],
        ),
        # touching the border is cut by it; a pixel away is not, unless that is asked for
        (
            [("cat", 1, [0, 5, 9, 9]), ("cat", 1, [1, 5, 9, 9]), ("cat", 1, [80, 5, 100, 9])],
            {"border": 0},
            ["border: 0 px <= 0", None, "border: 0 px <= 0"],
        ),
        ([("cat", 1, [1, 5, 9, 9]), ("cat", 1, A)], {"border": 2}, ["border: 1 px <= 2", None]),
        # of two of one class the better stays; another class does not count
        (
            [("cat", 0.5, A), ("cat", 0.9, [11, 10, 31, 30]), ("dog", 0.1, A)],
            {"nms_iou": 0.5},
            ["nms_iou: 0.90 > 0.5 with cat", None, None],
        ),
        (
            [("cat", 0.5, A), ("cat", 0.9, [11, 10, 31, 30]), ("dog", 0.1, A)],
            {"cross_nms_iou": 0.5},
            [None, None, "cross_nms_iou: 0.90 > 0.5 with cat"],
        ),
        # inside another of its class; of two equal ones one stays
        (
            [("cat", 0.9, [12, 12, 20, 20]), ("cat", 0.1, A), ("dog", 1, [12, 12, 20, 20])],
            {"inside": 1.0},
            ["inside: 1.00 >= 1", None, None],
        ),
        ([("cat", 1, A), ("cat", 1, A)], {"inside": 0.9}, [None, "inside: 1.00 >= 0.9"]),
        # off
        ([("cat", 0.0, [0, 0, 1, 1]), ("cat", 0.0, [0, 0, 1, 1])], {}, [None, None]),
    ],
)
def test_geometry(rows: list, options: dict, expected: list) -> None:
    assert judged(boxes(*rows), **options) == expected


def test_a_mask_that_fills_too_little_of_its_box() -> None:
    def rle(width: int) -> bytes:
        pixels = np.zeros((HEIGHT, WIDTH), np.uint8, order="F")
        pixels[10:30, 10 : 10 + width] = 1
        data: bytes = coco.encode(pixels)["counts"]
        return data

    objects = boxes(("cat", 1, A), ("cat", 1, A), ("cat", 1, A), mask=[rle(20), rle(5), None])
    assert judged(objects, mask_fill=0.3) == [None, "mask_fill: 0.25 < 0.3", None]


def test_the_first_rule_that_rejects_gives_the_reason() -> None:
    objects = boxes(("cat", 0.1, [0, 0, 4, 4]))
    both = {"min_score": 0.5, "min_side": 6}
    assert judged(objects, **both) == ["min_score: 0.10 < 0.5"]
    swapped = judged(objects, **both, rules=("min_side", "min_score"))
    assert swapped == ["min_side: 4 px < 6"]
    assert judged(objects, **both, rules=("min_side",)) == ["min_side: 4 px < 6"]


def test_what_was_rejected_before_keeps_its_reason_and_suppresses_nothing() -> None:
    objects = boxes(("cat", 0.9, A), ("cat", 0.5, A), keep=[False, True], reason=["by hand", None])
    assert judged(objects, nms_iou=0.5, inside=0.5, min_score=0.95) == [
        "by hand",
        "min_score: 0.50 < 0.95",
    ]
    assert judged(objects, nms_iou=0.5, inside=0.5) == ["by hand", None]


def test_an_image_beyond_its_group_leaves_the_pool() -> None:
    record = Record("a", "a.png", WIDTH, HEIGHT, objects=boxes(("cat", 1, A)))
    (result,) = Filter(FilterConfig(max_per_group=2), capped={"a": 3})([record])
    assert result.split == EXCLUDED
    assert result.note == "max_per_group: 3 > 2"
    assert result.objects.reason.tolist() == ["max_per_group: 3 > 2"]
    assert len(result.objects.kept) == 0


coordinates = st.floats(0, 100, width=32)


@given(
    st.lists(
        st.tuples(st.sampled_from("ab"), st.floats(0, 1, width=32), *[coordinates] * 4), max_size=8
    ),
    st.floats(0, 1),
)
def test_survivors_of_suppression_do_not_overlap(rows: list, limit: float) -> None:
    objects = Objects.create(
        [r[0] for r in rows],
        [r[1] for r in rows],
        np.array(
            [[min(a, c), min(b, d), max(a, c), max(b, d)] for _, _, a, b, c, d in rows]
        ).reshape(-1, 4),
    )
    record = Record("a", "a.png", WIDTH, HEIGHT, objects=objects)
    (result,) = Filter(FilterConfig(nms_iou=limit))([record])
    (again,) = Filter(FilterConfig(nms_iou=limit))([result])
    assert again == result
    assert len(result.objects.kept) > 0 or not rows
