from __future__ import annotations

import numpy as np
import pytest

from autolabel.ops.masks import encode
from autolabel.report.pictures.drawing import masks_of, paint

GREY = np.full((60, 80, 3), 128, np.uint8)
BOX = np.array([[10, 10, 50, 40]], np.float32)


@pytest.mark.parametrize("corners", [False, True])
def test_lines_in_the_colour_of_the_class(corners: bool) -> None:
    drawn = paint(GREY, BOX, [1], palette=("#ff0000", "#0000ff"), corners=corners)
    assert (GREY == 128).all()
    assert drawn[10, 12].tolist() == [0, 0, 255]
    assert drawn[25, 30].tolist() == [128] * 3
    assert (drawn[10, 30].tolist() == [128] * 3) == corners  # the middle of a side


def test_masks_tint_what_they_cover() -> None:
    mask = np.zeros((1, 60, 80), bool)
    mask[0, 20:30, 20:40] = True
    drawn = paint(GREY, BOX, [0], palette=("#ff0000",), masks=mask)
    assert drawn[25, 30, 0] > 150 > 128 > drawn[25, 30, 2]
    assert drawn[35, 45].tolist() == [128] * 3


def test_nothing_to_draw() -> None:
    drawn = paint(GREY, np.zeros((0, 4), np.float32), [])
    assert drawn is not GREY
    np.testing.assert_array_equal(drawn, GREY)


def test_masks_at_another_size() -> None:
    dense = np.zeros((1, 60, 80), bool)
    dense[0, :30, :40] = True
    scaled = masks_of([encode(dense)[0], None], (80, 60), (8, 6))
    assert scaled is not None
    assert scaled.shape == (2, 6, 8)
    assert scaled[0, :3, :4].all()
    assert scaled[0].sum() == 12
    assert not scaled[1].any()
    assert masks_of([None], (80, 60), (8, 6)) is None
