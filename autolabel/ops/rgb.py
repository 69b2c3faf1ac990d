"""Whatever PIL has decoded, as upright RGB in little more memory than the result itself takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from autolabel.ops.arrays import Pixels, Vectors

BLOCK = 1024
"""Pixels; pictures are converted in squares of this side, so that what lies between stays small."""

_STORED: dict[int, Callable[[Pixels], Pixels]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}
"""EXIF orientation -> a view of upright pixels in the order in which the file stores them."""

ORIENTATIONS = frozenset(_STORED)
_Convert = Callable[[Image.Image], Pixels]


def upright_rgb(image: Image.Image, orientation: int) -> Pixels:
    """Return a loaded picture as RGB, uint8 (height, width, 3), C-contiguous; see `images.decode`.

    Args:
        image: of any mode.
        orientation: of EXIF; what is not in `ORIENTATIONS` is upright already.
    """
    width, height = image.size
    turned = 5 <= orientation <= 8
    upright = np.empty((width, height, 3) if turned else (height, width, 3), np.uint8)
    stored = _STORED[orientation](upright) if orientation in _STORED else upright
    convert = _conversion(image)
    for x, y, block in _blocks(image):
        pixels = convert(block)
        stored[y : y + pixels.shape[0], x : x + pixels.shape[1]] = pixels
    return upright


def _blocks(image: Image.Image) -> Iterator[tuple[int, int, Image.Image]]:
    width, height = image.size
    for y in range(0, height, BLOCK):
        for x in range(0, width, BLOCK):
            right, bottom = min(x + BLOCK, width), min(y + BLOCK, height)
            yield x, y, image.crop((x, y, right, bottom))


def _conversion(image: Image.Image) -> _Convert:
    if image.mode.startswith("I"):  # I and I;16, I;16B, I;16L, I;16N
        return _high_byte
    if image.mode == "F":
        low, high = _range(image)
        return lambda block: _grey(_scaled(np.asarray(block), low, high))
    return _flattened if image.has_transparency_data else _plain


def _plain(block: Image.Image) -> Pixels:
    return np.asarray(block if block.mode == "RGB" else block.convert("RGB"))


def _flattened(block: Image.Image) -> Pixels:
    # RGBA first: from a palette straight to RGB, PIL drops per-entry alpha.
    canvas = Image.new("RGBA", block.size, "white")
    canvas.alpha_composite(block.convert("RGBA"))
    return np.asarray(canvas.convert("RGB"))


def _high_byte(block: Image.Image) -> Pixels:
    return _grey((np.clip(np.asarray(block), 0, 65535).astype(np.uint16) >> 8).astype(np.uint8))


def _grey(values: Pixels) -> Pixels:
    return np.repeat(values[..., None], 3, axis=2)


def _range(image: Image.Image) -> tuple[float, float]:
    """Return what becomes black and white: 0 and 1, 0 and 255, or the lowest and highest."""
    low, high = np.inf, -np.inf
    for _, _, block in _blocks(image):
        values = np.asarray(block)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:  # not one finite value
        low, high = 0.0, 0.0
    if low >= 0 and high <= 255:
        return 0.0, 1.0 if high <= 1 else 255.0
    return low, high


def _scaled(values: Vectors, low: float, high: float) -> Pixels:
    with np.errstate(all="ignore"):  # infinities times zero, where there is nothing to stretch
        scaled = (values.astype(np.float64) - low) * (255 / (high - low) if high > low else 0.0)
        byte = np.clip(np.nan_to_num(scaled, posinf=255, neginf=0), 0, 255)
        return np.rint(byte).astype(np.uint8)
