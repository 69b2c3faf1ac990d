"""Pictures small enough to travel inside the page, within a budget of bytes."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from PIL import Image

from autolabel.ops.arrays import Pixels

LONGEST = 560
"""Longest side of a photo in the page, in pixels: what a third of a wide page shows sharply."""

SHORTEST = 320
"""Smaller photos are enlarged to this, so that lines on them do not grow with them."""

CELL = 112
"""Side of a crop in the page, in pixels."""

BUDGET = 4_500_000
"""Bytes of all pictures together, as they stand in the page."""


@dataclass(frozen=True)
class Picture:
    """A picture as a data URI, with its size in pixels."""

    uri: str
    width: int
    height: int


class ImageBudget:
    """Encodes pictures until the budget is spent, and counts those that were left out."""

    def __init__(self, budget: int = BUDGET) -> None:
        self.left = budget
        self.left_out = 0

    def add(self, pixels: Pixels) -> Picture | None:
        """Encode a picture; None where there is no more room for it."""
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "WEBP", quality=82, method=4)
        encoded = base64.b64encode(sink.getvalue()).decode("ascii")
        if len(encoded) > self.left:
            self.left_out += 1
            return None
        self.left -= len(encoded)
        return Picture(f"data:image/webp;base64,{encoded}", pixels.shape[1], pixels.shape[0])


def fitted(width: int, height: int) -> tuple[int, int]:
    """Return width and height of a photo in the page.

    >>> fitted(4000, 3000), fitted(400, 200), fitted(32, 32), fitted(100_000, 1)
    ((560, 420), (400, 200), (320, 320), (560, 1))
    """
    longest = max(width, height)
    factor = min(max(longest, SHORTEST), LONGEST) / longest
    return max(round(width * factor), 1), max(round(height * factor), 1)


def resized(pixels: Pixels, to_wh: tuple[int, int]) -> Pixels:
    """Scale pixels to another size."""
    if (pixels.shape[1], pixels.shape[0]) == to_wh:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize(to_wh, Image.Resampling.LANCZOS))
