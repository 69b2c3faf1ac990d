"""Objects of several shapes, as tools hold them that know one outline a shape."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

import numpy as np

from autolabel.ops.arrays import Bools, Floats
from autolabel.ops.boxes import box_areas
from autolabel.ops.masks import union
from autolabel.types import Correction, Objects


@dataclass(frozen=True, eq=False)
class Piece:
    """One shape of an object.

    Attributes:
        label: its class.
        points: (k, 2) in pixels, x before y; the object's box is around those of all its pieces.
        mask: RLE of the image's size, or None.
        score: in [0, 1].
        group: what pieces of one object have in common; None for an object of one piece.
        difficult: whether the object neither counts as a hit nor as a miss.
        correction: what a person did to it.
    """

    label: str
    points: Floats
    mask: bytes | None = None
    score: float = 1.0
    group: Hashable = None
    difficult: bool = False
    correction: Correction | None = None


def join(pieces: Iterable[Piece], width: int, height: int) -> tuple[Objects, Bools]:
    """Return objects, and which are to be ignored: difficult ones, and boxes without area.

    Pieces of the same label and group are one object, in the place of the first.

    Args:
        pieces: of one image.
        width, height: of the image, pixels.
    """
    things: dict[Hashable, list[Piece]] = {}
    for i, piece in enumerate(pieces):
        key = (piece.label, piece.group) if piece.group is not None else i
        things.setdefault(key, []).append(piece)
    found = list(things.values())
    points = [np.concatenate([piece.points for piece in one]) for one in found]
    corners = [[p.min(axis=0), p.max(axis=0)] for p in points]
    boxes = np.array(corners, np.float64).reshape(-1, 4)
    masks = [[piece.mask for piece in one if piece.mask is not None] for one in found]
    objects = Objects.create(
        [one[0].label for one in found],
        [one[0].score for one in found],
        boxes,
        mask=[union(some, height, width) if some else None for some in masks],
        correction=[next((p.correction for p in one if p.correction), None) for one in found],
    )
    difficult = np.array([any(p.difficult for p in one) for one in found], bool)
    return objects, difficult | (box_areas(boxes) == 0)
