"""What every stage that looks at pixels does to prepare a record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autolabel.ops.files import from_uri
from autolabel.ops.images import read_image
from autolabel.types import Record


def with_pixels(record: Record, source_root: Path) -> Record:
    """The record with its upright pixels.

    Raises:
        ImageError: the file is gone, cannot be read, or is not the one that was ingested.
    """
    path = from_uri(record.uri, source_root)
    return replace(record, pixels=read_image(path, record.image_id))
