"""Masks as outlines and back, for formats that hold polygons.

Outlines lie half a pixel outside the outermost pixel centres, on the grid in which pixel (x, y)
covers [x, x + 1) x [y, y + 1). A mask of several parts with holes becomes as many outlines, each
with its holes; `one_ring` joins them to a single path for formats that allow no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from autolabel.ops.masks import decode, encode, iou

Ring = npt.NDArray[np.float64]
"""Points (k, 2) of a closed path in pixels, x before y; the last is not the first again."""


@dataclass(frozen=True)
class Part:
    """One connected part of a mask.

    Attributes:
        outer: its outline.
        holes: outlines of the holes in it.
    """

    outer: Ring
    holes: tuple[Ring, ...] = ()


def to_polygons(
    counts: bytes, height: int, width: int, tolerance_px: float = 0.5
) -> tuple[list[Part], float]:
    """The outlines of a mask, simplified, and what the simplification cost.

    Args:
        counts: RLE of the mask.
        height, width: of the image, pixels.
        tolerance_px: how far the simplified outline may be from the true one; 0 keeps every point.
            No part and no hole vanishes, whatever the tolerance.

    Returns:
        Parts from the top down, none for an empty mask, and the loss: 1 - IoU of the mask with
        what `from_polygons` makes of the parts.
    """
    from contourpy import FillType, contour_generator
    from shapely import Polygon

    (mask,) = decode([counts], height, width)
    if not mask.any():
        return [], 0.0
    y0, x0, crop = _cropped(mask)
    # Level 0.5 between centres at whole numbers; the padding closes outlines at the border.
    lines = contour_generator(z=crop.astype(np.float64), fill_type=FillType.OuterOffset)
    found: Any = lines.filled(0.5, np.inf)
    rings, offsets = found
    shift = np.array([x0 - 0.5, y0 - 0.5])
    parts = []
    for points, starts in zip(rings, offsets, strict=True):
        outer, *holes = np.split(points + shift, starts[1:-1])
        polygon = Polygon(outer, holes)
        if tolerance_px > 0:
            polygon = polygon.simplify(tolerance_px, preserve_topology=True)
        inner = tuple(np.asarray(h.coords)[:-1] for h in polygon.interiors)
        parts.append(Part(np.asarray(polygon.exterior.coords)[:-1], inner))
    parts.sort(key=lambda part: (part.outer[:, 1].min(), part.outer[:, 0].min()))
    back = from_polygons(parts, height, width)
    return parts, float(1 - iou([counts], [back], height, width)[0, 0])


def _cropped(mask: npt.NDArray[np.bool_]) -> tuple[int, int, npt.NDArray[np.bool_]]:
    """Top, left and pixels of the mask's own box, with one pixel of padding inside."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    y, x = int(rows[0]), int(columns[0])
    return y, x, np.pad(mask[y : rows[-1] + 1, x : columns[-1] + 1], 1)


def from_polygons(parts: Sequence[Part], height: int, width: int) -> bytes:
    """The mask that outlines enclose, as pycocotools fills them.

    >>> from autolabel.ops.masks import areas
    >>> square = Part(np.array([[1, 1], [3, 1], [3, 3], [1, 3]]))
    >>> areas([from_polygons([square], 4, 4)], 4, 4).tolist()
    [4]
    """
    mask = np.zeros((height, width), bool)
    for part in parts:
        inside = _filled(part.outer, height, width)
        for hole in part.holes:
            inside &= ~_filled(hole, height, width)
        mask |= inside
    return encode(mask[None])[0]


def _filled(ring: Ring, height: int, width: int) -> npt.NDArray[np.bool_]:
    filled: npt.NDArray[np.uint8] = rle.decode(
        rle.frPyObjects([ring.ravel().tolist()], height, width)
    )
    return filled[:, :, 0].astype(bool)


def one_ring(parts: Sequence[Part]) -> Ring:
    """All parts and holes as one closed path, joined by seams without width.

    For formats in which an object is a single ring. The seams run there and back between nearest
    corners, and holes run against their outline, so both the even-odd and the non-zero rule fill
    what the parts fill.

    Raises:
        ValueError: there are no parts.
    """
    if not parts:
        raise ValueError("an empty mask has no outline")
    rings = [
        _turned(ring, clockwise=i == 0)
        for part in parts
        for i, ring in enumerate((part.outer, *part.holes))
    ]
    path = rings[0]
    for ring in rings[1:]:
        gaps = ((path[:, None] - ring[None]) ** 2).sum(axis=2)
        here, there = np.unravel_index(gaps.argmin(), gaps.shape)
        loop = np.roll(ring, -there, axis=0)
        path = np.concatenate([path[: here + 1], loop, loop[:1], path[here:]])
    return path


def _turned(ring: Ring, *, clockwise: bool) -> Ring:
    """The ring, running clockwise on the screen or against it."""
    x, y = ring[:, 0], ring[:, 1]
    doubled_area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    return ring if (doubled_area > 0) == clockwise else ring[::-1]
