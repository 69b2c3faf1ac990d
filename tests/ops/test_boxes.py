from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autolabel.ops.boxes import (
    box_areas,
    clip_boxes,
    cxcywh_shares_to_xyxy,
    order_corners,
    xywh_to_xyxy,
    xyxy_to_cxcywh_shares,
    xyxy_to_xywh,
)

ANY = hnp.arrays(
    np.float64, st.tuples(st.integers(0, 5), st.just(4)), elements=st.floats(-500, 900)
)
ORDERED = ANY.map(order_corners)
Boxes = npt.NDArray[np.float64]


@given(ORDERED)
def test_corners_survive_the_way_to_sizes_and_back(boxes: Boxes) -> None:
    np.testing.assert_allclose(xywh_to_xyxy(xyxy_to_xywh(boxes)), boxes, atol=1e-9)


@given(ORDERED, st.integers(1, 9000), st.integers(1, 9000))
def test_corners_survive_the_way_to_shares_and_back(boxes: Boxes, width: int, height: int) -> None:
    shares = xyxy_to_cxcywh_shares(boxes, width, height)
    np.testing.assert_allclose(cxcywh_shares_to_xyxy(shares, width, height), boxes, atol=1e-9)


@given(ANY, st.integers(1, 900), st.integers(1, 900))
def test_clipped_boxes_lie_in_the_image_and_are_not_changed_inside(
    boxes: Boxes, width: int, height: int
) -> None:
    clipped = clip_boxes(boxes, width, height)
    assert (clipped >= 0).all()
    assert (clipped <= [width, height, width, height]).all()
    inside = ((boxes >= 0) & (boxes <= [width, height, width, height])).all(axis=1)
    np.testing.assert_array_equal(clipped[inside], boxes[inside])


@given(ANY)
def test_no_function_changes_what_it_is_given(boxes: Boxes) -> None:
    before = boxes.copy()
    for convert in (xyxy_to_xywh, xywh_to_xyxy, order_corners, box_areas):
        convert(boxes)
    clip_boxes(boxes, 5, 5)
    np.testing.assert_array_equal(boxes, before)


def test_no_boxes_give_no_boxes() -> None:
    assert xywh_to_xyxy([]).shape == xyxy_to_xywh([]).shape == (0, 4)
    assert box_areas([]).shape == (0,)
