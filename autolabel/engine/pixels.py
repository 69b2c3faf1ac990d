"""Reading the pixels of records for the stages that ask for them."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.ops.images import ImageError, read_image
from autolabel.sources import from_uri
from autolabel.types import CHANGED, Record, is_unread

ALIKE = 16
"""So many photos in a row that cannot be read, all for one reason, are no accident."""


def with_pixels(record: Record, source_root: Path) -> Record:
    """Return the record with its upright pixels.

    Raises:
        ImageError: the file is gone, cannot be read, or is not the one that was ingested.
    """
    path = from_uri(record.uri, source_root)
    return replace(record, pixels=read_image(path, record.image_id))


def photos_gone(root: Path, what: str) -> AutolabelError:
    """Return the error for photos that are away as a whole."""
    return AutolabelError(
        f"the photos in {root} cannot be read: {what}",
        hint="bring them back, or say where they are now: --source-root DIR",
    )


class Watch:
    """Tell a photo that cannot be read from a folder that is away; one for a stage.

    Args:
        root: folder of the photos.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._lock = threading.Lock()
        self._reason = ""
        self._alike = 0

    def seen(self, error: str | None) -> None:
        """Note how a photo was read.

        Raises:
            AutolabelError: the folder is gone, or `ALIKE` photos in a row failed alike.
        """
        if error is None or error == CHANGED or not is_unread(error):
            self._alike = 0
            return
        if not self.root.is_dir():
            raise photos_gone(self.root, "the folder is not there any more")
        with self._lock:
            self._alike = self._alike + 1 if error == self._reason else 1
            self._reason = error
            if self._alike >= ALIKE:
                raise photos_gone(self.root, f"{ALIKE} in a row: {error}")


class PixelReader:
    """Read the pixels of records; see `Watch` for when it stops.

    Args:
        root: folder that uris are relative to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._watch = Watch(root)

    def read(self, record: Record) -> Record:
        """Return the record with its upright pixels.

        Raises:
            ImageError: as `with_pixels`.
            AutolabelError: as `Watch.seen`.
        """
        try:
            ready = with_pixels(record, self.root)
        except ImageError as e:
            self._watch.seen(str(e))
            raise
        self._watch.seen(None)
        return ready
