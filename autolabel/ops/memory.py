"""How much memory a picture takes to decode, known from its header, and who may take it when."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image

from autolabel.ops.rgb import BLOCK

MAX_BYTES = 2 << 30
"""What pictures may take while they are decoded: one alone, and all threads together."""

_ONE_BYTE, _TWO_BYTES = frozenset({"1", "L", "P"}), frozenset({"I;16", "I;16L", "I;16B", "I;16N"})
_RESULT = 3
_CONVERTING = 64 * BLOCK * BLOCK  # float64 and copies, of one block
_WHOLE_CANVAS = 12  # bytes a pixel of decoders that keep copies: canvas, planes, RGBA
_DECODERS = {"WEBP": _WHOLE_CANVAS, "AVIF": _WHOLE_CANVAS, "HEIF": _WHOLE_CANVAS}


def needed_bytes(image: Image.Image) -> int:
    """Tell how many bytes at most it takes to decode a picture whose header alone is read.

    That is PIL's own copy, in whatever mode, what the decoder of that format holds beside it, and
    the result as RGB.
    """
    width, height = image.size
    pixels, mode = width * height, image.mode
    stored = 1 if mode in _ONE_BYTE else 2 if mode in _TWO_BYTES else 4
    return pixels * (stored + _RESULT + _beside(image)) + _pieces(image) + _CONVERTING


def _beside(image: Image.Image) -> int:
    """Return bytes a pixel that the decoder holds of the whole picture."""
    bands, kind = len(image.getbands()), image.format or ""
    if kind in ("JPEG", "MPO") and "progressive" in image.info:
        return 2 * bands  # all coefficients
    if kind == "JPEG2000":
        return 6 * bands  # 32-bit integers of the picture, and of one tile as it is copied
    return _DECODERS.get(kind, 0)


def _pieces(image: Image.Image) -> int:
    """Return bytes of the largest strip or tile of a TIFF; a file may be a single one."""
    if image.format != "TIFF":
        return 0
    tags: Any = getattr(image, "tag_v2", {})
    width, height = image.size
    if 322 in tags and 323 in tags:
        rows, columns = _number(tags[323]), _number(tags[322])
    else:
        rows, columns = min(_number(tags.get(278, height)), height), width
    bits = tags.get(258, (1,))
    a_pixel = max(sum(bits), bits[0] * _number(tags.get(277, 1)), 8)
    if tags.get(262) == 6:  # YCbCr is decoded once more, to RGBA
        a_pixel += 32
    return int(rows * columns * a_pixel // 8)


def _number(value: Any) -> int:
    if isinstance(value, tuple):
        value = value[0] if value else 0
    return max(int(value), 0)


class Room:
    """A number of bytes that threads share: who asks for more than is left waits.

    A share must not be held while another is asked for, nor while waiting for another thread.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self._taken = 0
        self._freed = threading.Condition()

    @contextmanager
    def of(self, size: int) -> Iterator[None]:
        """Hold `size` bytes; more than there are in all, once nobody else holds any."""
        with self._freed:
            self._freed.wait_for(lambda: not self._taken or self._taken + size <= self.total)
            self._taken += size
        try:
            yield
        finally:
            with self._freed:
                self._taken -= size
                self._freed.notify_all()
