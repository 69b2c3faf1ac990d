"""Cut boxes out of an image, as an embedder sees them: with some context, padded to a square."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from autolabel.ops.arrays import Pixels

FILL = (122, 116, 104)
"""Colour of the padding: the mean that CLIP subtracts, so that it becomes zeros."""


def crop_window(
    box_xyxy: Sequence[float], width: int, height: int, context: float
) -> tuple[int, int, int, int]:
    """Return the whole pixels that a box and its context cover: x1, y1, x2, y2, half-open.

    Args:
        box_xyxy: corners in pixels.
        width, height: of the image; the window is clipped to it and never empty.
        context: share of the box's own side that is added at each of its sides.

    >>> crop_window([10, 10, 30, 20], 100, 100, 0.1)
    (8, 9, 32, 21)
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    wide, high = context * (x2 - x1), context * (y2 - y1)
    left = min(max(math.floor(x1 - wide), 0), width - 1)
    top = min(max(math.floor(y1 - high), 0), height - 1)
    right = max(min(math.ceil(x2 + wide), width), left + 1)
    bottom = max(min(math.ceil(y2 + high), height), top + 1)
    return left, top, right, bottom


def square_crop(image: Pixels, box_xyxy: Sequence[float], context: float) -> Pixels:
    """Return the pixels of a box and its context in the middle of a square, uint8 (side, side, 3).

    Padding, not a wider cut, makes it square: a long box would otherwise show its neighbours. No
    part is lost to an image processor that cuts out the centre.

    >>> square_crop(np.zeros((50, 50, 3), np.uint8), [0, 0, 20, 10], 0.0).shape
    (20, 20, 3)
    """
    height, width = image.shape[:2]
    left, top, right, bottom = crop_window(box_xyxy, width, height, context)
    wide, high = right - left, bottom - top
    side = max(wide, high)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = FILL
    x, y = (side - wide) // 2, (side - high) // 2
    square[y : y + high, x : x + wide] = image[top:bottom, left:right]
    return square
