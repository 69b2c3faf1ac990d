"""The pixels that the page shows: upright, resized for it, of a bounded size in memory."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from autolabel.errors import AutolabelError
from autolabel.ops.arrays import Pixels
from autolabel.ops.images import ImageError, read_image
from autolabel.review.items import Box
from autolabel.sources import from_uri
from autolabel.types import Record

LONGEST_SIDE = 1600
"""Pixels of a whole photo on the page."""
LONGEST_CROP = 1024
_MEMORY = 2**26
"""Bytes of pictures that are kept as files."""
_QUALITY = 90


class Pictures:
    """Makes the pictures, one at a time; the last photo and the last files stay in memory.

    Args:
        root: folder of the photos.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._files: OrderedDict[tuple[object, ...], bytes] = OrderedDict()
        self._last: tuple[str, Pixels] | None = None

    def photo(self, record: Record) -> bytes:
        """Return a whole photo as JPEG.

        Raises:
            AutolabelError: it is gone, cannot be read, or is another by now.
        """
        return self._file((record.image_id,), lambda: self._resized(record, None, LONGEST_SIDE))

    def crop(self, record: Record, window: Box) -> bytes:
        """Return part of a photo as JPEG.

        Args:
            record: the photo.
            window: whole pixels, xyxy, in the photo.

        Raises:
            AutolabelError: as `photo`.
        """
        name = (record.image_id, *window)
        return self._file(name, lambda: self._resized(record, window, LONGEST_CROP))

    def _file(self, name: tuple[object, ...], make: Callable[[], bytes]) -> bytes:
        with self._lock:
            if name not in self._files:
                self._files[name] = make()
                while sum(map(len, self._files.values())) > _MEMORY and len(self._files) > 1:
                    self._files.popitem(last=False)
            self._files.move_to_end(name)
            return self._files[name]

    def _resized(self, record: Record, window: Box | None, longest: int) -> bytes:
        pixels = self._pixels(record)
        if window is not None:
            left, top, right, bottom = (int(v) for v in window)
            pixels = pixels[top:bottom, left:right]
        image = Image.fromarray(pixels)
        image.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "JPEG", quality=_QUALITY, subsampling=0)
        return file.getvalue()

    def _pixels(self, record: Record) -> Pixels:
        if self._last is None or self._last[0] != record.image_id:
            self._last = None  # first, so that there are never two
            try:
                pixels = read_image(from_uri(record.uri, self.root), record.image_id)
            except (ImageError, ValueError) as e:
                raise AutolabelError(
                    f"image {record.uri} {e}", hint="if the folder was moved, add --source-root DIR"
                ) from e
            self._last = record.image_id, pixels
        return self._last[1]
