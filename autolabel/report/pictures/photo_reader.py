"""Photos as they are read for the page; those that are gone are remembered, not fatal."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from autolabel.errors import AutolabelError
from autolabel.report.pictures.drawing import pixels_of
from autolabel.report.pictures.scenes import Canvas
from autolabel.types import Record


class PhotoReader:
    """Reads the photos below a folder, the last one from memory.

    Attributes:
        gone: uri -> what is wrong, of photos that could not be read.
    """

    def __init__(self, root: Path, gone: dict[str, str]) -> None:
        self.root = root
        self.gone = gone
        self._last: tuple[str, npt.NDArray[np.uint8]] | None = None

    def pixels(self, record: Record) -> npt.NDArray[np.uint8] | None:
        """The photo of a record, or None if it is gone."""
        if record.uri in self.gone:
            return None
        if self._last is None or self._last[0] != record.uri:
            try:
                self._last = (record.uri, pixels_of(record, self.root))
            except AutolabelError as e:
                self.gone[record.uri] = e.message
                return None
        return self._last[1]

    def canvas(self, record: Record) -> Canvas | None:
        """The photo of a record at the size of the page, or None if it is gone."""
        pixels = self.pixels(record)
        return None if pixels is None else Canvas.of(record, pixels)
