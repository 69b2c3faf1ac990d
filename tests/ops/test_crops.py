"""What an embedder sees of a box."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.ops.crops import FILL, crop_window, square_crop

SIDE = st.integers(1, 40)
CORNER = st.floats(-50, 90)


@given(st.tuples(*[CORNER] * 4), SIDE, SIDE, st.sampled_from([0.0, 0.1, 0.5, 2.0]))
def test_a_window_covers_the_box_and_its_context_as_far_as_the_image_goes(
    corners: tuple[float, ...], width: int, height: int, context: float
) -> None:
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    left, top, right, bottom = crop_window([x1, y1, x2, y2], width, height, context)
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    for low, high, near, far, limit in (
        (x1, x2, left, right, width),
        (y1, y2, top, bottom, height),
    ):
        extra = context * (high - low)
        if high + extra > 0 and low - extra < limit - 1:
            assert near == max(math.floor(low - extra), 0)
            assert far == max(min(math.ceil(high + extra), limit), near + 1)


@pytest.mark.parametrize(
    ("box", "wide", "high"),
    [([2, 3, 9, 6], 7, 3), ([2, 3, 4, 10], 2, 7), ([0, 0, 5, 5], 5, 5), ([1, 1, 4, 3], 3, 2)],
)
def test_the_box_is_in_the_middle_of_a_square(box: list[int], wide: int, high: int) -> None:
    image = np.random.default_rng(0).integers(0, 256, (12, 15, 3), dtype=np.uint8)
    before = image.copy()
    square = square_crop(image, box, 0)
    side = max(wide, high)
    assert square.shape == (side, side, 3)
    x, y = (side - wide) // 2, (side - high) // 2
    inside = square[y : y + high, x : x + wide]
    np.testing.assert_array_equal(inside, image[box[1] : box[3], box[0] : box[2]])
    around = np.ones((side, side), bool)
    around[y : y + high, x : x + wide] = False
    assert (square[around] == FILL).all()
    square[:] = 0
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("box", [[50, 50, 60, 60], [-9, -9, -5, -5], [3, 3, 3, 3]])
def test_a_box_outside_or_without_area_has_a_pixel(box: list[int]) -> None:
    assert square_crop(np.zeros((8, 9, 3), np.uint8), box, 0).shape == (1, 1, 3)
