"""The shapes of a CVAT XML file: where they lie, and which pixels they cover."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from autolabel.datasets.grouped import Piece
from autolabel.datasets.labelled import FAR
from autolabel.ops.arrays import Floats
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.masks import pasted
from autolabel.ops.points import on_ellipse, turned
from autolabel.ops.polygons import covered
from autolabel.types import Correction
from autolabel.types.objects import DRAWN, MOVED

SCORE = "score"
"""The attribute that holds a score."""
SKIPPED = {
    "polyline": "polylines",
    "points": "points",
    "cuboid": "cuboids",
    "skeleton": "skeletons",
    "tag": "tags of whole images",
}
"""What is neither a box nor an area, in words."""

_LONGEST_RLE = 2**26
_PEOPLE = {"manual": DRAWN, "consensus": DRAWN, "semi-auto": MOVED}
_Shape = tuple[Floats, bytes | None]
"""Points (k, 2) whose box is the object's, and its mask."""


def from_shape(shape: Any, width: int, height: int) -> Piece:
    """Return what the element of a shape says.

    Args:
        shape: an element whose tag is one of `SHAPES`.
        width, height: of its image, pixels; where they are 0, polygons have no masks.

    Raises:
        ValueError: what is wrong with it.
    """
    label = shape.get("label")
    if not label:
        raise ValueError("it has no label")
    points, mask = SHAPES[shape.tag](shape, width, height)
    if not (np.abs(points) < FAR).all():
        raise ValueError(f"a <{shape.tag}> that lies far outside")
    group = shape.get("group_id", "0")
    action = _PEOPLE.get(shape.get("source", ""))
    return Piece(
        label,
        points,
        mask,
        score=_score(shape),
        group=group if group != "0" and shape.tag != "box" else None,
        correction=None if action is None else Correction(action),
    )


def _score(shape: Any) -> float:
    given = next((a.text for a in shape.iter("attribute") if a.get("name") == SCORE), None)
    try:
        score = float(given or 1)
    except ValueError:
        return 1.0
    return score if 0 <= score <= 1 else 1.0


def _box(shape: Any, width: int, height: int) -> _Shape:
    x1, y1, x2, y2 = _four(shape, "xtl", "ytl", "xbr", "ybr")
    return _turned(np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]), shape), None


def _polygon(shape: Any, width: int, height: int) -> _Shape:
    numbers = _numbers(shape.get("points", "").replace(";", ","))
    if len(numbers) < 6 or len(numbers) % 2:
        raise ValueError("a <polygon> of less than 3 points")
    points = numbers.reshape(-1, 2)
    return points, _filled(points, width, height)


def _ellipse(shape: Any, width: int, height: int) -> _Shape:
    cx, cy, rx, ry = _four(shape, "cx", "cy", "rx", "ry")
    points = _turned(on_ellipse(rx, ry, 72) + np.array([cx, cy]), shape)
    return points, _filled(points, width, height)


def _mask(shape: Any, width: int, height: int) -> _Shape:
    left, top, columns, rows = (int(v) for v in _four(shape, "left", "top", "width", "height"))
    inside = 0 <= left < left + columns <= width and 0 <= top < top + rows <= height
    text = shape.get("rle", "")
    if not inside or width * height > MAX_PIXELS or len(text) > _LONGEST_RLE:
        raise ValueError(f"a <mask> that does not lie within {width} x {height} pixels")
    runs, pixels = _numbers(text).astype(np.int64), rows * columns
    if (runs < 0).any() or (runs > pixels).any() or runs.sum() != pixels:
        raise ValueError(f"a <mask> whose rle does not cover its {columns} x {rows} pixels")
    crop = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(rows, columns)
    corners = np.array([[left, top], [left + columns, top + rows]], np.float64)
    return corners, pasted(crop, top, left, height, width)


SHAPES: dict[str, Callable[[Any, int, int], _Shape]] = {
    "box": _box,
    "polygon": _polygon,
    "ellipse": _ellipse,
    "mask": _mask,
}
"""What becomes an object, by tag."""


def _four(shape: Any, *keys: str) -> list[float]:
    numbers: list[float] = _numbers(",".join(shape.get(key) or "x" for key in keys)).tolist()
    if len(numbers) != len(keys):
        raise ValueError(f"a <{shape.tag}> without usable {', '.join(keys)}")
    return numbers


def _numbers(text: str) -> Floats:
    """Return numbers between commas.

    Raises:
        ValueError: they are not, or one is not finite or huge.
    """
    try:
        numbers: Floats = np.fromstring(text, np.float64, sep=",")
    except ValueError:
        raise ValueError("something is not a number") from None
    if not (np.abs(numbers) < 2**40).all():
        raise ValueError("a number is not finite")
    return numbers


def _turned(points: Floats, shape: Any) -> Floats:
    """Return the points turned clockwise by `rotation` degrees around their middle."""
    (degrees,) = _numbers(shape.get("rotation") or "0")
    if not degrees:
        return points
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    found: Floats = middle + turned(points - middle, degrees)
    return found


def _filled(points: Floats, width: int, height: int) -> bytes | None:
    return covered([points.ravel()], height, width) if width and height else None
