"""Files around hand labels: how they are found, opened within bounds, and named in errors."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from autolabel.datasets.labelled import GroundTruthImage, LabelledImage, inner_path
from autolabel.errors import AutolabelError
from autolabel.ops.images import ImageError, content_id, decode, read_bytes
from autolabel.reading import LARGEST_JSON, LARGEST_TEXT, open_regular, parse_json, read_regular

T = TypeVar("T")
END = 65_536
"""Bytes at each end of a file by which it is known."""
_CHUNK = 1 << 20
_OVERLAP = 256


def located(
    labelled: LabelledImage,
    name: str,
    folders: Sequence[Path],
    endings: Sequence[str] = ("",),
) -> GroundTruthImage:
    """Return the image of that name in the first folder that has it."""
    path = first_file(name, folders, endings)
    width, height, image_id = labelled.width, labelled.height, None
    if path is not None:
        data, *size = read_image(path, size_wh=(width, height))
        image_id, (width, height) = content_id(data), size
    return GroundTruthImage(name, path, image_id, width, height, labelled.objects, labelled.ignore)


def first_file(name: str, folders: Sequence[Path], endings: Sequence[str] = ("",)) -> Path | None:
    """Return the file of that name in the first folder that has it, never outside of them."""
    inner = inner_path(name)
    spellings = [] if inner is None else [inner, PurePosixPath(str(inner).replace("\\", "/"))]
    tried = (f / f"{s}{end}" for f in folders for s in spellings for end in endings)
    return next((p for p in tried if is_file(p)), None)


def is_file(path: Path) -> bool:
    """Return whether it is a file; none is of a name that this file system does not take."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_there(path: Path) -> bool:
    """Return whether there is anything of that name."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_image(path: Path, size_wh: tuple[int, int] = (0, 0)) -> tuple[bytes, int, int]:
    """Return bytes, width and height; the upright pixels tell what `size_wh` leaves open."""
    try:
        data = read_bytes(path)
        if not all(size_wh):
            height, width = decode(data).shape[:2]
            size_wh = (width, height)
    except ImageError as e:
        raise AutolabelError(
            f"the hand-labelled image {path} is not usable: {e}",
            hint="fix the image, or take it and its labels away",
        ) from None
    return data, *size_wh


def blamed_on(file: Path, read: Callable[[], T]) -> T:
    """Return what `read` returns; an error of it names the file."""
    try:
        return read()
    except AutolabelError as e:
        raise AutolabelError(f"{file}: {e.message}", hint=e.hint) from None


def read_json(file: Path, largest: int = LARGEST_JSON) -> Any:
    """Return the content of a JSON file of at most `largest` bytes."""
    try:
        return parse_json(read_file(file, largest))
    except ValueError as e:
        raise AutolabelError(
            f"{file} is not valid JSON: {e}", hint="fix the file, or take it away"
        ) from None


def read_text(file: Path, largest: int = LARGEST_TEXT) -> str:
    """Return a UTF-8 file of at most `largest` bytes, with or without a byte-order mark."""
    try:
        return read_file(file, largest).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise AutolabelError(f"{file} is not UTF-8 text", hint="save it as UTF-8") from None


def read_file(file: Path, largest: int = LARGEST_TEXT) -> bytes:
    """Return the bytes of a regular file of at most `largest` bytes."""
    try:
        return read_regular(file, largest)
    except OSError as e:
        raise _unreadable(file, e) from None


def ends(file: Path) -> tuple[int, bytes, bytes]:
    """Return how many bytes a regular file has, and those at its start and end, see `END`."""
    try:
        with open_regular(file) as stream:
            head = stream.read(END)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - END, 0))
            return size, _narrow(head), _narrow(stream.read(END))
    except OSError as e:
        raise _unreadable(file, e) from None


def chunks(file: Path) -> Iterator[bytes]:
    """Yield a regular file in pieces that overlap a little, so that all is seen and few held."""
    before = b""
    try:
        with open_regular(file) as stream:
            while piece := stream.read(_CHUNK):
                yield before + _narrow(piece)
                before = _narrow(piece[-_OVERLAP:])
    except OSError as e:
        raise _unreadable(file, e) from None


def _narrow(data: bytes) -> bytes:
    """Return ASCII as it is in UTF-8, whatever the encoding, without a byte-order mark."""
    return data.replace(b"\0", b"").removeprefix(b"\xef\xbb\xbf").lstrip(b"\xff\xfe")


def _unreadable(file: Path, error: OSError) -> AutolabelError:
    large = error.errno == errno.EFBIG
    hint = "split it into smaller files" if large else "make it readable, or name other labels"
    return AutolabelError(f"{file} cannot be read: {error.strerror}", hint=hint)


def absolute(path: Path) -> Path:
    """Return the absolute path without ``..``; links stay links."""
    return Path(os.path.abspath(path))  # noqa: PTH100 - resolve() would follow links


def visible(folder: Path, pattern: str) -> Iterator[Path]:
    """Yield what matches and is not hidden, in order."""
    return (p for p in sorted(folder.glob(pattern)) if not p.name.startswith("."))
