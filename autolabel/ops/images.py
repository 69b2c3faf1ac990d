"""Image files: bytes in, upright RGB pixels out, and one plain line for whatever is wrong."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from PIL import Image, ImageFile

from autolabel.ops.arrays import Pixels
from autolabel.ops.image_header import (
    KINDS,
    MAX_PIXELS,
    ImageError,
    complaint,
    one_line,
    open_image,
)
from autolabel.ops.memory import MAX_BYTES, Room, needed_bytes
from autolabel.ops.rgb import ORIENTATIONS, upright_rgb
from autolabel.reading import LARGEST_IMAGE, read_regular
from autolabel.types import CHANGED

__all__ = [
    "IMAGE_SUFFIXES",
    "MAX_PIXELS",
    "ImageError",
    "Pixels",
    "can_be_read",
    "content_id",
    "decode",
    "decoded",
    "is_plain",
    "read_bytes",
    "read_image",
    "true_suffix",
    "upright",
]


IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".tif", ".tiff"}
    | {".gif", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm"}
)
"""Endings, in lower case, of the files that are taken from a folder."""

_ORIENTATION = 0x0112
_READ_EVERYWHERE = frozenset({1, 5, 7, 8, 32773, 32946})
"""Compressions of a TIFF that every trainer reads: none, LZW, JPEG, deflate, PackBits."""

_room = Room(MAX_BYTES)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the bytes of a regular file; anything else is refused before it is opened.

    Raises:
        ImageError: missing, not a regular file (a pipe would wait for ever), or not readable.
    """
    try:
        return read_regular(path, LARGEST_IMAGE)
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ENOTDIR):
            raise ImageError("missing") from e
        if e.errno == errno.ELOOP:
            raise ImageError("too many levels of symbolic links") from e
        if e.errno in (errno.EINVAL, errno.EISDIR):
            raise ImageError("not a regular file") from e
        raise ImageError(f"cannot be read: {e.strerror or one_line(e)}") from e
    except ValueError as e:  # a NUL byte or a lone surrogate in the name
        raise ImageError(f"cannot be read: {one_line(e)}") from e


def can_be_read(path: str | os.PathLike[str], image_id: str) -> bool:
    """Tell whether a file that could not be read can be by now, with the bytes of the id."""
    try:
        return content_id(read_bytes(path)) == image_id
    except ImageError:
        return False


def content_id(data: bytes) -> str:
    """Return first 32 hexadecimal digits of the SHA-256 of `data`.

    >>> content_id(b"")
    'e3b0c44298fc1c149afbf4c8996fb924'
    """
    return hashlib.sha256(data).hexdigest()[:32]


def decode(data: bytes) -> Pixels:
    """Decode the first frame of an image file to upright RGB, uint8 (height, width, 3).

    - EXIF orientation is applied (and XMP orientation where EXIF has none, as PIL does).
    - Transparency is laid on white.
    - 16-bit grey keeps its high byte, like OpenCV's 8-bit reading; 32-bit integers are clipped
      to 16 bits first.
    - Floating point: values that all lie in [0, 1] are multiplied by 255, values that all lie in
      [0, 255] are kept, others are stretched from their minimum to their maximum; NaN is black.
    - Everything else is converted by PIL.

    Frames and pages after the first are not looked at, whatever their state. Threads that decode
    side by side wait for one another where they would take more than `MAX_BYTES` together.

    Raises:
        ImageError: not an image, damaged, truncated, over `MAX_PIXELS`, or more than `MAX_BYTES`
            are needed to decode it.
    """
    with decoded(data) as pixels:
        return pixels


@contextmanager
def decoded(data: bytes) -> Iterator[Pixels]:
    """Decode as `decode`, whose share of the memory is held until the pixels are no longer needed.

    For whoever looks at the pixels and lets them go; nothing else may be decoded meanwhile by the
    same thread.
    """
    image = open_image(data)
    with _room.of(needed_bytes(image)):
        try:
            image.load()
            pixels = upright_rgb(image, _orientation(image))
        except Exception as e:  # PIL's plugins raise nearly anything on hostile bytes
            raise ImageError(complaint(image.format, e)) from e
        del image
        yield pixels


def upright(image: Image.Image) -> Pixels:
    """Return a picture that PIL has opened as `decode` does: upright RGB, uint8 (height, width, 3).

    Raises:
        ImageError: it cannot be decoded.
    """
    try:
        image.load()
        return upright_rgb(image, _orientation(image))
    except Exception as e:  # as in decoded
        raise ImageError(f"cannot be decoded: {one_line(e)}") from e


def read_image(path: str | os.PathLike[str], image_id: str | None = None) -> Pixels:
    """Read and decode a file; upright RGB, uint8 (height, width, 3).

    Raises:
        ImageError: as `read_bytes` and `decode`, or the bytes are not those of `image_id`.
    """
    data = read_bytes(path)
    if image_id is not None and content_id(data) != image_id:
        raise ImageError(CHANGED)
    return decode(data)


def true_suffix(data: bytes) -> str:
    """Return the usual ending for what the bytes are, whatever the file is called.

    >>> true_suffix(b"P5 1 1 255 x")
    '.ppm'

    Raises:
        ImageError: not an image, or its header is damaged.
    """
    return KINDS[open_image(data).format or ""][1]


def is_plain(data: bytes) -> bool:
    """Tell whether every trainer reads the same pixels from these bytes as `decode` does.

    True for one frame of 8-bit grey or RGB without transparency, palette or EXIF rotation, in a
    JPEG, PNG, WebP, BMP or TIFF file, the last in a compression that OpenCV has too.

    Raises:
        ImageError: not an image, or its header is damaged.
    """
    image = open_image(data)
    kind = image.format
    if kind not in ("JPEG", "MPO", "PNG", "WEBP", "BMP", "TIFF"):
        return False
    try:
        if (
            image.mode not in ("L", "RGB")
            or image.has_transparency_data
            or not _has_plain_samples(image, data)
        ):
            return False
        with _room.of(needed_bytes(image)):  # a PNG is read to its end for the orientation
            single = kind in ("JPEG", "MPO") or _is_single(image)
            return _orientation(image) == 1 and single
    except Exception as e:  # as in decode
        raise ImageError(complaint(kind, e)) from e


def _is_single(image: ImageFile.ImageFile) -> bool:
    """Tell whether there is one frame; a page that is broken is one more."""
    try:
        return getattr(image, "n_frames", 1) == 1
    except Exception:  # as in decode
        return False


def _has_plain_samples(image: ImageFile.ImageFile, data: bytes) -> bool:
    """Tell whether there are 8 bits a sample and zero is black: PIL's mode alone does not."""
    if image.format == "PNG":
        return data[24] == 8
    if image.format == "BMP":
        return int.from_bytes(data[28:30], "little") in (8, 24)
    if image.format == "TIFF":
        tags: Any = getattr(image, "tag_v2", {})
        bits, photometric, sample_format = tags.get(258, (1,)), tags.get(262), tags.get(339, (1,))
        return (
            set(bits) == {8}
            and photometric in (1, 2)
            and set(sample_format) == {1}
            and tags.get(259, 1) in _READ_EVERYWHERE
        )
    return True


def _orientation(image: Image.Image) -> int:
    """Return the EXIF orientation 1-8; 0 where the EXIF data alone cannot be read."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as in decode
        return 0
    return value if isinstance(value, int) and value in ORIENTATIONS else 1
