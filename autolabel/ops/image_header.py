"""The header of an image file: what it is, and whether it may be decoded.

PIL recognises the format and reads the header; what is added is the reason where it cannot, in one
plain line, and limits that hold before anything is decoded, also where a program lifts PIL's own.
"""

from __future__ import annotations

import importlib
import io
import struct
from collections.abc import Iterable, Mapping
from contextlib import suppress

from PIL import (  # all that we open, so that PIL need not look through all that it knows
    AvifImagePlugin,  # noqa: F401
    BmpImagePlugin,  # noqa: F401
    GifImagePlugin,  # noqa: F401
    Image,
    ImageFile,
    Jpeg2KImagePlugin,  # noqa: F401
    JpegImagePlugin,  # noqa: F401
    PngImagePlugin,  # noqa: F401
    PpmImagePlugin,  # noqa: F401
    TiffImagePlugin,  # noqa: F401
    WebPImagePlugin,  # noqa: F401
)

from autolabel.ops.hush import hush_libtiff, hush_plugins
from autolabel.ops.memory import MAX_BYTES, needed_bytes

MAX_PIXELS = 178_956_970
"""Width times height that is still decoded: half a gibibyte as RGB."""


class ImageError(ValueError):
    """What is wrong with an image file, in one plain line."""


KINDS: Mapping[str, tuple[str, str]] = {
    "JPEG": ("JPEG", ".jpg"),
    "PNG": ("PNG", ".png"),
    "GIF": ("GIF", ".gif"),
    "BMP": ("BMP", ".bmp"),
    "PPM": ("PPM", ".ppm"),
    "TIFF": ("TIFF", ".tif"),
    "WEBP": ("WebP", ".webp"),
    "JPEG2000": ("JPEG 2000", ".jp2"),
    "AVIF": ("AVIF", ".avif"),
    "HEIF": ("HEIC", ".heic"),
    "MPO": ("JPEG", ".jpg"),  # a JPEG with more pictures behind it, opened as a JPEG
}
"""Format of PIL -> what people call it, and its usual ending; no other is opened."""

_HEIC = tuple(b"ftyp" + brand for brand in (b"hei", b"hev", b"mif", b"msf"))


def open_image(data: bytes) -> ImageFile.ImageFile:
    """Read the header, and check the size and what it takes to decode.

    Raises:
        ImageError: see `autolabel.ops.images.decode`.
    """
    if not data:
        raise ImageError("empty file")
    hush_plugins()
    hush_libtiff()
    kinds = _kinds(data)
    try:
        image = Image.open(io.BytesIO(data), formats=kinds)
    except Exception as e:  # as in decode
        raise ImageError(_why_not(data, kinds)) from e
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(image))
    try:
        needed = needed_bytes(image)
    except Exception as e:  # tags that are not what they should be
        raise ImageError(complaint(image.format, e)) from e
    if needed > MAX_BYTES:
        raise ImageError(
            f"decoding it takes {needed / 1e9:.1f} GB, over the limit of {MAX_BYTES / 1e9:.1f} GB"
        )
    return image


def _kinds(data: bytes) -> list[str]:
    """Return the formats that are tried; HEIC where it may be one and its library is there."""
    if data[4:].startswith(_HEIC):
        with suppress(ImportError):
            importlib.import_module("pillow_heif").register_heif_opener()
    return [kind for kind in KINDS if kind in Image.OPEN]


def _why_not(data: bytes, kinds: Iterable[str]) -> str:
    """Return what `Image.open` keeps to itself: it calls whatever is damaged "unidentified"."""
    for kind in kinds:
        factory, accepts = Image.OPEN[kind]
        if accepts and accepts(data[:16]) is True:
            try:
                return _too_large(factory(io.BytesIO(data), ""))
            except Exception as e:  # as in decode
                if not str(e).startswith("not a"):
                    return complaint(kind, e)
    if data[4:].startswith(_HEIC) and "HEIF" not in kinds:
        return "HEIC needs pillow-heif, not installed"
    return "not an image"


def _too_large(image: ImageFile.ImageFile) -> str:
    limit = min(MAX_PIXELS, 2 * (Image.MAX_IMAGE_PIXELS or MAX_PIXELS))  # PIL warns at half of it
    return f"{image.width} x {image.height} pixels is over the limit of {limit}"


def complaint(kind: str | None, error: Exception) -> str:
    name, _ = KINDS[kind or ""]
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = one_line(error)
    if isinstance(error, (EOFError, struct.error)) or "truncated" in text.lower():
        return f"truncated: the {name} file ends before the picture does"
    return f"damaged {name}: {text}"


def one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
