"""Masks as outlines and back, for formats that hold polygons.

Outlines lie half a pixel outside the outermost pixel centres, on the grid in which pixel (x, y)
covers [x, x + 1) x [y, y + 1). A mask of several parts with holes becomes as many outlines, each
with its holes; `one_ring` joins them to a single path for formats that allow no more.

contourpy finds the outlines and shapely simplifies them. The rest is our own because the libraries
that write such formats drop parts or fill holes, and so write another mask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pycocotools import mask as rle

from autolabel.ops.arrays import Bools, Floats, Ints, Pixels
from autolabel.ops.image_header import MAX_PIXELS
from autolabel.ops.masks import cropped, decode, encode, iou

_LONGEST_OUTLINE = 10_000_000
"""Pixels; filling a polygon takes some 40 bytes for each pixel of its outline."""

_SMALL = 18 * 18
"""Pixels of a mask's own box, padded, up to which its outline is drawn on a finer grid."""
_THIN_PX = 4
_FINE_PX = 0.25
"""What is so wide on average or less is followed so closely: half a pixel off, a line of one pixel
covers none."""

Ring = Floats
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
    """Return the outlines of a mask, simplified, and what the simplification cost.

    Args:
        counts: RLE of the mask.
        height, width: of the image, pixels.
        tolerance_px: how far the simplified outline may be from the true one; 0 keeps every point.
            No part and no hole vanishes, whatever the tolerance.

    Returns:
        Parts as those of `outlines`, and the loss: 1 - IoU of the mask with what `from_polygons`
        makes of them.
    """
    parts = outlines(counts, height, width, tolerance_px)
    if not parts:
        return [], 0.0
    back = from_polygons(parts, height, width)
    return parts, float(1 - iou([counts], [back], height, width)[0, 0])


def outlines(counts: bytes, height: int, width: int, tolerance_px: float = 0.5) -> list[Part]:
    """Return the outlines of a mask, simplified as by `to_polygons`, from the top down.

    None for an empty mask. Of a part of a few pixels the outline is nearer, so that filling it
    gives them back.
    """
    from contourpy import FillType, contour_generator
    from shapely import Polygon

    (mask,) = decode([counts], height, width)
    crop, y0, x0 = cropped(mask)
    if not crop.size:
        return []
    crop = np.pad(crop, 1)
    # Level 0.5 between centres at whole numbers cuts corners by half a pixel, of smaller pixels by
    # less; the padding closes outlines at the border.
    finer = 4 if crop.size <= _SMALL else 1
    fine = np.kron(crop, np.ones((finer, finer)))
    lines = contour_generator(z=fine.astype(np.float64), fill_type=FillType.OuterOffset)
    found: Any = lines.filled(0.5, np.inf)
    rings, offsets = found
    parts = []
    for points, starts in zip(rings, offsets, strict=True):
        corners = (points + 0.5) / finer + [x0 - 1, y0 - 1]
        outer, *holes = np.split(corners, starts[1:-1])
        polygon = _simplified(Polygon(outer, holes), tolerance_px)
        inner = tuple(np.asarray(h.coords)[:-1] for h in polygon.interiors)
        parts.append(Part(np.asarray(polygon.exterior.coords)[:-1], inner))
    parts.sort(key=lambda part: (part.outer[:, 1].min(), part.outer[:, 0].min()))
    return parts


def _simplified(polygon: Any, tolerance_px: float) -> Any:
    """Return a shapely polygon with fewer corners; what is thin or tiny keeps its pixels."""
    if tolerance_px <= 0:
        return polygon
    near = min(tolerance_px, 0.1 * polygon.area**0.5)
    if 2 * polygon.area < _THIN_PX * polygon.length:
        near = min(near, _FINE_PX)
    return polygon.simplify(near, preserve_topology=True)


def from_polygons(parts: Sequence[Part], height: int, width: int) -> bytes:
    """Return the mask that outlines enclose, as pycocotools fills them.

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


def _filled(ring: Ring, height: int, width: int) -> Bools:
    filled: Pixels = rle.decode(rle.frPyObjects([ring.ravel().tolist()], height, width))
    return filled[:, :, 0].astype(bool)


def covered(polygons: object, height: int, width: int) -> bytes | None:
    """Return what polygons that others drew cover together, None where none has an area.

    Args:
        polygons: lists of x and y by turns, pixels; what is not one is passed over.
        height, width: of the image, pixels; at most `MAX_PIXELS` together.

    >>> covered([[1, 1, 3, 1, 3, 3, 1, 3], [0]], 4, 4)
    b'52203'

    Raises:
        ValueError: the image is too large, or their outline too long to fill.
    """
    try:
        given = [np.asarray(one, np.float64).ravel() for one in polygons]  # type: ignore[attr-defined]
    except (TypeError, ValueError, OverflowError):
        return None
    # pycocotools takes four numbers for a box, and memory in proportion to far-off points.
    rings = [p for p in given if len(p) >= 6 and len(p) % 2 == 0 and np.isfinite(p).all()]
    if not rings:
        return None
    reach = 2 * max(height, width)
    bounded = [np.clip(p, -reach, reach) for p in rings]
    closed = [np.concatenate([p, p[:2]]).reshape(-1, 2) for p in bounded]
    outline = sum(float(np.abs(np.diff(p, axis=0)).max(axis=1).sum()) for p in closed)
    if outline > _LONGEST_OUTLINE:
        raise ValueError(f"the outline of its polygons is {outline:.0f} pixels long")
    if width * height > MAX_PIXELS:
        raise ValueError(f"a mask of {width} x {height} pixels is over {MAX_PIXELS}")
    merged = rle.merge(rle.frPyObjects([p.tolist() for p in bounded], height, width))
    counts: bytes = merged["counts"]
    return counts


def one_ring(parts: Sequence[Part]) -> Ring:
    """Return all parts and holes as one closed path, joined by seams without width.

    For formats in which an object is a single ring. The seams run there and back between corners
    that are near, as few and short as join all (a minimum spanning tree), and holes run against
    their outline, so both the even-odd and the non-zero rule fill what the parts fill. It takes
    n log n for n corners.

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
    if len(rings) == 1:
        return rings[0]
    points = np.concatenate(rings)
    return points[_path(_seams(points, rings), [len(ring) for ring in rings])]


def _seams(points: Ring, rings: Sequence[Ring]) -> Ints:
    """Return pairs of corners (n - 1, 2), as indices into all, that join n rings."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import Delaunay

    ring_of = np.repeat(np.arange(len(rings)), [len(ring) for ring in rings])
    # The shortest ways between the rings are among the edges of the triangulation.
    triangles = Delaunay(points)
    edges = np.concatenate(
        [
            triangles.simplices[:, [0, 1]],
            triangles.simplices[:, [1, 2]],
            triangles.simplices[:, [2, 0]],
            triangles.coplanar[:, [0, 2]],  # corners that lie where another one does
        ]
    )
    pairs = np.sort(ring_of[edges], axis=1)
    between = pairs[:, 0] != pairs[:, 1]
    edges, pairs = edges[between], pairs[between]
    lengths = np.linalg.norm(points[edges[:, 0]] - points[edges[:, 1]], axis=1)
    order = np.lexsort((*edges.T, lengths))  # of two as short, always the same one
    count = len(rings)
    _, first = np.unique(pairs[order] @ [count, 1], return_index=True)
    best = order[first]
    graph = coo_matrix((1 + lengths[best], pairs[best].T), (count, count))
    chosen = minimum_spanning_tree(graph).tocoo()
    seam = {tuple(pair): edge for pair, edge in zip(pairs[best].tolist(), edges[best], strict=True)}
    kept = zip(np.minimum(chosen.row, chosen.col), np.maximum(chosen.row, chosen.col), strict=True)
    return np.array([seam[int(a), int(b)] for a, b in kept])


def _path(seams: Ints, lengths: Sequence[int]) -> list[int]:
    """Return the corners in the order of a path around all rings, turning off at each seam."""
    ends = np.cumsum(lengths)
    exits: dict[int, list[int]] = defaultdict(list)
    for a, b in seams.tolist():
        exits[a].append(b)
        exits[b].append(a)
    path: list[int] = []

    def walk(start: int) -> Iterator[int]:
        """Yield the corners of a ring from one round to itself."""
        ring = int(np.searchsorted(ends, start, side="right"))
        low, high = int(ends[ring]) - lengths[ring], int(ends[ring])
        yield from range(start, high)
        yield from range(low, start)

    # A stack of walks: what is walked first is left at a seam and gone on with afterwards.
    stack: list[tuple[int, int, Iterator[int]]] = [(0, -1, walk(0))]
    while stack:
        start, before, corners = stack[-1]
        corner = next(corners, None)
        if corner is None:
            stack.pop()
            if stack:
                path += [start, before]
            continue
        path.append(corner)
        ahead = [b for b in exits[corner] if not (corner == start and b == before)]
        stack += [(target, corner, walk(target)) for target in ahead]
    return path


def _turned(ring: Ring, *, clockwise: bool) -> Ring:
    """Return the ring, running clockwise on the screen or against it."""
    x, y = ring[:, 0], ring[:, 1]
    doubled_area = (x * np.roll(y, -1) - np.roll(x, -1) * y).sum()
    return ring if (doubled_area > 0) == clockwise else ring[::-1]
