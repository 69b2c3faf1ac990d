"""The table of dataset formats; a format is one file, and a row here or in another package.

Such a package states in its `pyproject.toml`

    [project.entry-points."autolabel.formats"]
    my-format = "my_package:MY_FORMAT"

where `MY_FORMAT` is an `autolabel.datasets.base.Format`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from autolabel.plugins import PluginTable

if TYPE_CHECKING:
    from autolabel.datasets.base import Format, Reader, Writer

_WRITTEN = {
    "coco": "autolabel.datasets.coco:COCO",
    "yolo": "autolabel.datasets.yolo:YOLO",
    "voc": "autolabel.datasets.voc:VOC",
    "csv": "autolabel.datasets.table:CSV",
    "labelme": "autolabel.datasets.labelme:LABELME",
    "label-studio": "autolabel.datasets.label_studio:LABEL_STUDIO",
    "cvat": "autolabel.datasets.cvat:CVAT",
    "fiftyone": "autolabel.datasets.fiftyone:FIFTYONE",
}
_READ_ONLY: dict[str, str] = {}
"""Told apart here too, so that help can list what `export` writes before any of them is loaded."""

_ITEM = re.compile(r"\w[\w.-]*/?", re.ASCII)


def _wrong(name: str, found: Format) -> str | None:
    if found.reader is None and found.writer is None:
        return "it neither reads nor writes"
    items = found.writer.items if found.writer else ()
    odd = [item for item in items if not _ITEM.fullmatch(item)]
    return f"{odd[0]!r} cannot be at the top of a dataset" if odd else None


FORMATS: PluginTable[Format] = PluginTable(
    "format",
    "autolabel.formats",
    {**_WRITTEN, **_READ_ONLY},
    "autolabel.datasets.base:Format",
    _wrong,
)
"""name -> format."""


def written(*, plugins: bool = True) -> tuple[str, ...]:
    """Return the names of the formats that are written; without those of plugins nothing loads."""
    brought = FORMATS.plugins.values if plugins else {}
    return (*_WRITTEN, *(name for name, one in brought.items() if one.writer is not None))


def writer_of(name: str) -> Writer:
    """Return how a format is written.

    Raises:
        KeyError: there is no such format, or it is only read.
    """
    writer = FORMATS[name].writer
    if writer is None:
        raise KeyError(name)
    return writer


def writers() -> tuple[Writer, ...]:
    """Return how each format that is written is written."""
    return tuple(one.writer for one in FORMATS.values() if one.writer is not None)


def readers() -> tuple[Reader, ...]:
    """Return how each format that is read is read."""
    return tuple(one.reader for one in FORMATS.values() if one.reader is not None)


def label_suffixes() -> frozenset[str]:
    """Return the endings of files that labels may be named by, such as ``.json``."""
    return frozenset(suffix for reader in readers() for suffix in reader.suffixes)
