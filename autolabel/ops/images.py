"""Image files: bytes in, upright RGB pixels out, and one plain line for whatever is wrong."""

from __future__ import annotations

import errno
import hashlib
import importlib
import io
import os
import re
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import ImageFile

from autolabel.ops.hush import hush_libtiff, hush_plugins
from autolabel.ops.memory import MAX_BYTES, Room, needed_bytes
from autolabel.ops.rgb import ORIENTATIONS, upright_rgb
from autolabel.reading import LARGEST_IMAGE, read_regular
from autolabel.types import CHANGED

Pixels = npt.NDArray[np.uint8]

IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".tif", ".tiff"}
    | {".gif", ".avif", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".pbm", ".pgm", ".ppm", ".pnm"}
)
"""Endings, in lower case, of the files that are taken from a folder."""

MAX_PIXELS = 178_956_970
"""Width times height that is still decoded: half a gibibyte as RGB."""


class ImageError(ValueError):
    """What is wrong with an image file, in one plain line."""


@dataclass(frozen=True)
class _Kind:
    """A file format: what people call it, its usual ending, and the PIL plugin that opens it."""

    name: str
    suffix: str
    module: str
    opener: str


_JPEG = _Kind("JPEG", ".jpg", "PIL.JpegImagePlugin", "JpegImageFile")
_PNG = _Kind("PNG", ".png", "PIL.PngImagePlugin", "PngImageFile")
_WEBP = _Kind("WebP", ".webp", "PIL.WebPImagePlugin", "WebPImageFile")
_BMP = _Kind("BMP", ".bmp", "PIL.BmpImagePlugin", "BmpImageFile")
_TIFF = _Kind("TIFF", ".tif", "PIL.TiffImagePlugin", "TiffImageFile")
_GIF = _Kind("GIF", ".gif", "PIL.GifImagePlugin", "GifImageFile")
_JP2 = _Kind("JPEG 2000", ".jp2", "PIL.Jpeg2KImagePlugin", "Jpeg2KImageFile")
_PPM = _Kind("PPM", ".ppm", "PIL.PpmImagePlugin", "PpmImageFile")
_AVIF = _Kind("AVIF", ".avif", "PIL.AvifImagePlugin", "AvifImageFile")
_HEIC = _Kind("HEIC", ".heic", "pillow_heif", "HeifImageFile")

_SIGNATURES: tuple[tuple[re.Pattern[bytes], _Kind], ...] = (
    (re.compile(rb"\xff\xd8\xff"), _JPEG),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _PNG),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _WEBP),
    (re.compile(rb"BM"), _BMP),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), _TIFF),
    (re.compile(rb"GIF8[79]a"), _GIF),
    (re.compile(rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51"), _JP2),
    (re.compile(rb"P[1-6]\s"), _PPM),
)
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIC_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"})

_ORIENTATION = 0x0112
_READ_EVERYWHERE = frozenset({1, 5, 7, 8, 32773, 32946})
"""Compressions of a TIFF that every trainer reads: none, LZW, JPEG, deflate, PackBits."""

_room = Room(MAX_BYTES)


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a regular file; anything else is refused before it is opened.

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
        raise ImageError(f"cannot be read: {e.strerror or _one_line(e)}") from e
    except ValueError as e:  # a NUL byte or a lone surrogate in the name
        raise ImageError(f"cannot be read: {_one_line(e)}") from e


def can_be_read(path: str | os.PathLike[str], image_id: str) -> bool:
    """Whether a file that could not be read can be by now; its bytes must be those of the id."""
    try:
        return content_id(read_bytes(path)) == image_id
    except ImageError:
        return False


def content_id(data: bytes) -> str:
    """First 32 hexadecimal digits of the SHA-256 of `data`.

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
    """`decode`, whose share of the memory is held until the pixels are no longer needed.

    For whoever looks at the pixels and lets them go; nothing else may be decoded meanwhile by the
    same thread.
    """
    kind = _kind(data)
    image = _open(kind, data)
    with _room.of(needed_bytes(image)):
        try:
            image.load()
            pixels = upright_rgb(image, _orientation(image))
        except Exception as e:  # PIL's plugins raise nearly anything on hostile bytes
            raise ImageError(_complaint(kind, e)) from e
        del image
        yield pixels


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
    """The usual ending for what the bytes are, whatever the file is called.

    >>> true_suffix(b"GIF89a")
    '.gif'

    Raises ImageError where they are no image.
    """
    return _kind(data).suffix


def is_plain(data: bytes) -> bool:
    """Whether every trainer reads the same pixels from these bytes as `decode` does.

    True for one frame of 8-bit grey or RGB without transparency, palette or EXIF rotation, in a
    JPEG, PNG, WebP, BMP or TIFF file, the last in a compression that OpenCV has too.

    Raises:
        ImageError: not an image, or its header is damaged.
    """
    kind = _kind(data)
    if kind not in (_JPEG, _PNG, _WEBP, _BMP, _TIFF):
        return False
    image = _open(kind, data)
    try:
        if (
            image.mode not in ("L", "RGB")
            or image.has_transparency_data
            or not _has_plain_samples(kind, image, data)
        ):
            return False
        with _room.of(needed_bytes(image)):  # a PNG is read to its end for the orientation
            return _orientation(image) == 1 and _is_single(image)
    except Exception as e:  # as in decode
        raise ImageError(_complaint(kind, e)) from e


def _is_single(image: ImageFile.ImageFile) -> bool:
    """Whether there is one frame; a page that is broken is one more."""
    try:
        return getattr(image, "n_frames", 1) == 1
    except Exception:  # as in decode
        return False


def _has_plain_samples(kind: _Kind, image: ImageFile.ImageFile, data: bytes) -> bool:
    """8 bits a sample, zero is black: PIL's mode alone does not tell."""
    if kind is _PNG:
        return data[24] == 8
    if kind is _BMP:
        return int.from_bytes(data[28:30], "little") in (8, 24)
    if kind is _TIFF:
        tags: Any = getattr(image, "tag_v2", {})
        bits, photometric, sample_format = tags.get(258, (1,)), tags.get(262), tags.get(339, (1,))
        return (
            set(bits) == {8}
            and photometric in (1, 2)
            and set(sample_format) == {1}
            and tags.get(259, 1) in _READ_EVERYWHERE
        )
    return True


def _kind(data: bytes) -> _Kind:
    if not data:
        raise ImageError("empty file")
    for signature, kind in _SIGNATURES:
        if signature.match(data):
            return kind
    if data[4:8] == b"ftyp":
        # Major brand, then compatible ones: mif1 alone does not tell HEIC from AVIF.
        end = min(int.from_bytes(data[:4], "big"), 256)
        brands = {data[8:12]} | {data[i : i + 4] for i in range(16, end, 4)}
        if brands & _AVIF_BRANDS:
            return _AVIF
        if brands & _HEIC_BRANDS:
            return _HEIC
    raise ImageError("not an image")


def _open(kind: _Kind, data: bytes) -> ImageFile.ImageFile:
    """Read the header with the plugin that its signature names, and check the size.

    `PIL.Image.open` would try every plugin, EPS and its Ghostscript included, blame "cannot
    identify" for a damaged header, and take its pixel limit from a global.
    """
    hush_plugins()
    if kind is _TIFF:
        hush_libtiff()
    try:
        plugin = importlib.import_module(kind.module)
    except ImportError as e:
        raise ImageError(f"{kind.name} needs {kind.module.replace('_', '-')}, not installed") from e
    try:
        image: ImageFile.ImageFile = getattr(plugin, kind.opener)(io.BytesIO(data))
    except Exception as e:  # as in decode
        raise ImageError(_complaint(kind, e)) from e
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(f"{width} x {height} pixels is over the limit of {MAX_PIXELS}")
    try:
        needed = needed_bytes(image)
    except Exception as e:  # tags that are not what they should be
        raise ImageError(_complaint(kind, e)) from e
    if needed > MAX_BYTES:
        raise ImageError(
            f"decoding it takes {needed / 1e9:.1f} GB, over the limit of {MAX_BYTES / 1e9:.1f} GB"
        )
    return image


def _orientation(image: ImageFile.ImageFile) -> int:
    """EXIF orientation 1-8; 0 where the EXIF data cannot be read, for the picture still can."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # as in decode
        return 0
    return value if isinstance(value, int) and value in ORIENTATIONS else 1


def _complaint(kind: _Kind, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "not enough memory to decode it"
    text = _one_line(error)
    if isinstance(error, (EOFError, struct.error)) or "truncated" in text.lower():
        return f"truncated: the {kind.name} file ends before the picture does"
    return f"damaged {kind.name}: {text}"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
