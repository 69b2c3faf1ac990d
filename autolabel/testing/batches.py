"""Pixelss of mixed sizes in batches of any size, against each photo by itself."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from PIL import Image

from autolabel.ops.arrays import Pixels
from autolabel.testing.expect import expect
from autolabel.types import Objects

SIZES_WH = [
    (60, 40), (40, 60), (64, 64), (200, 24), (24, 200), (97, 61), (3, 2), (60, 40), (61, 97),
    (128, 96), (1, 1), (120, 80),
]  # fmt: skip
"""Landscape, portrait, square, panoramas, tiny, twice the same, and twice as large."""

BATCH_SIZES = (1, 3, 8)

SCORES_WITHIN, BOXES_WITHIN = 1e-4, 1e-2
"""What may be between a photo alone and in a batch, in score and pixels: the rounding of floats,
whose sums are taken in another order for another batch size or number of threads."""


def blobs(width: int, height: int, seed: int = 0, rows: int = 5, columns: int = 5) -> Pixels:
    """Return a photo of random blobs in so many rows and columns, RGB, uint8 (height, width, 3)."""
    coarse = np.random.default_rng(seed).integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def photos() -> list[Pixels]:
    """Return one of each of `SIZES_WH`, of random blobs, in an order drawn once."""
    found = [blobs(*size, seed) for seed, size in enumerate(SIZES_WH)]
    random.Random(0).shuffle(found)
    return found


def in_batches(
    work: Callable[[list[Pixels]], Sequence[Any]], images: Sequence[Pixels], size: int
) -> list[Any]:
    """Return what `work` gives for the images, so many at a time."""
    batches = (list(images[i : i + size]) for i in range(0, len(images), size))
    return [one for batch in batches for one in work(batch)]


def orders(count: int) -> Iterator[list[int]]:
    """Give two other orders of so many images."""
    for seed in (1, 2):
        order = list(range(count))
        random.Random(seed).shuffle(order)
        yield order


def apart(first: Objects, second: Objects) -> tuple[float, float]:
    """Return the largest difference of two findings in score and in a box's side, pixels.

    Raises:
        ContractError: they differ in number, labels or prompts.
    """
    expect(list(first.label) == list(second.label), "in another batch labels differ")
    expect(list(first.prompt) == list(second.prompt), "in another batch prompts differ")
    if not len(first):
        return 0.0, 0.0
    score = np.abs(first.score - second.score).max()
    return float(score), float(np.abs(first.xyxy - second.xyxy).max())
