"""How much memory is foreseen for a picture, by its format, and who waits for it."""

from __future__ import annotations

import io
import threading
from typing import Any

import pytest
from PIL import Image

from autolabel.ops.image_header import open_image
from autolabel.ops.memory import Room, needed_bytes

WIDTH, HEIGHT = 64, 96
SECOND = Image.new("RGB", (8, 8))


def needed(mode: str, kind: str, **options: Any) -> float:
    """Bytes a pixel beside those of a plain JPEG of the same mode."""
    buffer = io.BytesIO()
    Image.new(mode, (WIDTH, HEIGHT)).save(buffer, kind, **options)
    plain = io.BytesIO()
    Image.new("L" if mode == "L" else "RGB", (WIDTH, HEIGHT)).save(plain, "JPEG")
    opened = (open_image(b.getvalue()) for b in (buffer, plain))
    found, baseline = map(needed_bytes, opened)
    return (found - baseline) / (WIDTH * HEIGHT)


@pytest.mark.parametrize(
    ("mode", "kind", "options", "a_pixel"),
    [
        ("RGB", "JPEG", {"progressive": True}, 6),  # all coefficients, two bytes each
        ("L", "JPEG", {"progressive": True}, 2),
        ("RGB", "MPO", {"progressive": True, "save_all": True, "append_images": [SECOND]}, 6),
        ("RGB", "JPEG2000", {}, 18),
        ("RGB", "WEBP", {}, 12),
        ("RGB", "AVIF", {}, 12),
        ("RGB", "PNG", {}, 0),
        ("RGB", "TIFF", {}, 3),  # one strip, which is all of it
        ("YCbCr", "TIFF", {}, 7),  # and once more as RGBA
    ],
)
def test_what_a_decoder_holds_beside_the_picture_is_foreseen(
    mode: str, kind: str, options: dict[str, Any], a_pixel: float
) -> None:
    assert needed(mode, kind, **options) == pytest.approx(a_pixel, abs=0.1)


def test_who_asks_for_more_than_is_left_waits_until_it_is_given_back() -> None:
    room, order = Room(10), []
    inside = threading.Event()

    def second() -> None:
        inside.set()
        with room.of(5):
            order.append("second")

    with room.of(6):
        thread = threading.Thread(target=second)
        thread.start()
        inside.wait()
        thread.join(0.05)
        order.append("first")
    thread.join(5)
    assert order == ["first", "second"]


def test_more_than_there_is_in_all_is_given_when_nobody_else_holds_any() -> None:
    room = Room(10)
    with room.of(99):
        pass
    with room.of(10):
        pass
