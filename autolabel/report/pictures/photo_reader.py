"""Photos as they are read to be drawn on; those that are gone are remembered, not fatal."""

from __future__ import annotations

from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.ops.arrays import Pixels
from autolabel.report.pictures.drawing import read_photo
from autolabel.report.pictures.scenes import Canvas
from autolabel.sources import from_uri
from autolabel.types import Record

_KEPT = 4
"""Photos that stay in memory: labels of one photo are mostly drawn one after the other."""


class PhotoReader:
    """Reads the photos below a folder, the last few from memory.

    Attributes:
        gone: uri -> what is wrong, of photos that could not be read.
    """

    def __init__(self, root: Path, gone: dict[str, str] | None = None) -> None:
        self.root = root
        self.gone: dict[str, str] = {} if gone is None else gone
        self._kept: dict[str, Pixels] = {}

    def exists(self, record: Record) -> bool:
        """Say whether the file of a photo is there, without reading it."""
        try:
            there = from_uri(record.uri, self.root).is_file()
        except (OSError, ValueError):
            there = False
        if not there:
            self.gone.setdefault(record.uri, f"image {record.uri} is missing")
        return there

    def pixels(self, record: Record) -> Pixels | None:
        """Return a photo, RGB, uint8 (height, width, 3), or None if it is gone."""
        if record.uri not in self._kept and record.uri not in self.gone:
            try:
                read = read_photo(record, self.root)
            except AutolabelError as e:
                self.gone[record.uri] = e.message
                return None
            if len(self._kept) == _KEPT:
                del self._kept[next(iter(self._kept))]
            self._kept[record.uri] = read
        return self._kept.get(record.uri)

    def canvas(self, record: Record) -> Canvas | None:
        """Return a photo at the size of the page, or None if it is gone."""
        pixels = self.pixels(record)
        return None if pixels is None else Canvas.of(record, pixels)
