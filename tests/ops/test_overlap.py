"""Where one picture lies on another: what is grown, and what is seen."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from autolabel.ops.overlap import grown, overlap


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_mask_grows_by_as_many_pixels_to_each_side(pixels: int) -> None:
    mask = np.zeros((9, 11), bool)
    mask[4, 5] = True
    expected = np.zeros((9, 11), bool)
    expected[4 - pixels : 5 + pixels, 5 - pixels : 6 + pixels] = True
    assert (grown(mask, pixels) == expected).all()


@pytest.mark.parametrize("grey", [0, 255])
def test_what_is_darker_or_brighter_in_one_picture_differs(grey: int) -> None:
    coarse = np.random.default_rng(0).integers(60, 200, (12, 16, 3), dtype=np.uint8)
    photo = np.asarray(Image.fromarray(coarse).resize((160, 120), Image.Resampling.BICUBIC))
    changed = photo.copy()
    changed[40:60, 70:100] = grey
    same = np.array([[1.0, 0, 0], [0, 1, 0]])
    assert not overlap(photo, photo, same).differs.any()
    found = overlap(changed, photo, same).differs
    assert found[45:55, 75:95].all()
    assert found.sum() < 2 * 20 * 30
