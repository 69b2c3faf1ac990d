"""A held-out photo as the leak guard keeps it, and what is found of one in a picture."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from autolabel.errors import AutolabelError
from autolabel.ops import local_features
from autolabel.ops.arrays import Pixels
from autolabel.ops.hashes import dihedral_hashes, thumbnail
from autolabel.ops.images import ImageError, content_id, decode, read_bytes
from autolabel.ops.local_features import Features
from autolabel.stages.repeats import NEAR_HELD_OUT

SIDE_HELD = 450
"""Longer side in pixels of what is kept."""
FEATURES_HELD = 600


@dataclass(frozen=True, eq=False)
class HeldOutPhoto:
    """Keep of a held-out photo what pictures are compared with."""

    path: Path
    image_id: str
    pixel_id: str
    picture: bytes  # at most SIDE_HELD pixels a side, as JPEG
    features: Features
    thumbnail: npt.NDArray[np.float32]
    hashes: tuple[str, ...]

    @classmethod
    def read(cls, path: Path) -> HeldOutPhoto:
        """Read a held-out photo and describe it.

        Raises:
            AutolabelError: it cannot be read.
        """
        try:
            data = read_bytes(path)
            pixels = decode(data)
        except (ImageError, MemoryError) as e:
            raise AutolabelError(
                f"held-out photo {path} {str(e) or 'does not fit into memory'}",
                hint="fix or remove it; the leak guard needs them all",
            ) from e
        small = local_features.shrunk(pixels, SIDE_HELD)
        return cls(
            path,
            content_id(data),
            pixel_id(pixels),
            local_features.packed(small),
            local_features.describe(small, FEATURES_HELD),
            thumbnail(pixels),
            dihedral_hashes(pixels),
        )


def pixel_id(pixels: Pixels) -> str:
    """Return what is equal for equal pixels, whatever file holds them."""
    return hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest()[:32]


@dataclass(frozen=True)
class Finding:
    """A held-out photo that a picture repeats: `equal`, made from it (`derived`), or `near` it."""

    kind: Literal["equal", "derived", "near"]
    held: HeldOutPhoto
    how: str

    @property
    def note(self) -> str:
        """Say it in words."""
        words = {"equal": "equal to held-out ", "derived": "made from held-out "}
        return f"{words.get(self.kind, NEAR_HELD_OUT)}{self.held.path} ({self.how})"
