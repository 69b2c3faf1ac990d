"""One image into the dataset: as it is where every trainer sees it upright, else written anew."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Literal

from PIL import Image

from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id, decode, is_plain, read_bytes, true_suffix

Link = Literal["copy", "hardlink", "symlink"]

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.ENOSYS}


class ChangedError(ValueError):
    """The file is not the one that was ingested."""


def place_image(source: Path, image_id: str, target: Path, link: Link) -> tuple[str, bool]:
    """Put an image at `target` plus the ending that fits its bytes.

    Args:
        source: the image.
        image_id: what its bytes must hash to.
        target: the new path without an ending.
        link: how a plain image gets there. A turned one, or one that is not 8-bit grey or RGB, is
            always written upright and as RGB: a JPEG as JPEG (quality 95, 4:4:4), others as PNG.

    Returns:
        The ending, and whether it was written anew.

    Raises:
        ImageError: the image is missing or cannot be read.
        ChangedError: its bytes have changed.
        AutolabelError: the file system has no such links.
        OSError: `target` cannot be written.
    """
    data = read_bytes(source)
    if content_id(data) != image_id:
        raise ChangedError("changed since it was ingested")
    suffix = true_suffix(data)
    if is_plain(data):
        _put(source, data, target.with_name(target.name + suffix), link)
        return suffix, False
    suffix = ".jpg" if suffix == ".jpg" else ".png"
    buffer, upright = io.BytesIO(), Image.fromarray(decode(data))
    if suffix == ".jpg":
        upright.save(buffer, "JPEG", quality=95, subsampling="4:4:4")
    else:
        upright.save(buffer, "PNG")
    target.with_name(target.name + suffix).write_bytes(buffer.getvalue())
    return suffix, True


def _put(source: Path, data: bytes, target: Path, link: Link) -> None:
    if link == "copy":
        target.write_bytes(data)
        return
    try:
        if link == "hardlink":
            os.link(source.resolve(), target)
        else:
            target.symlink_to(source)
    except OSError as e:
        if e.errno in _NO_LINKS:
            raise AutolabelError(
                f"{source} cannot be linked from {target.parent}: {e.strerror}",
                hint="use --link copy",
            ) from e
        raise
