"""Where one picture lies on another: what is grown, and what is seen."""

from __future__ import annotations

import numpy as np
import pytest

from autolabel.ops.overlap import grown


@pytest.mark.parametrize("pixels", [1, 2])
def test_a_mask_grows_by_as_many_pixels_to_each_side(pixels: int) -> None:
    mask = np.zeros((9, 11), bool)
    mask[4, 5] = True
    expected = np.zeros((9, 11), bool)
    expected[4 - pixels : 5 + pixels, 5 - pixels : 6 + pixels] = True
    assert (grown(mask, pixels) == expected).all()
