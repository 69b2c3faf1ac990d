"""What Label Studio's regions look like in pixels: rectangles, polygons, ellipses, brush masks.

All are in percent of the image's sides, but for brush masks, which are pixels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autolabel.datasets.label_studio_brush import from_brush
from autolabel.datasets.labelled import FAR
from autolabel.ops.arrays import Floats
from autolabel.ops.masks import boxes
from autolabel.ops.points import on_ellipse, turned
from autolabel.ops.polygons import covered

Shape = tuple[list[float], bytes | None]
"""A box, xyxy in pixels, and a mask, compressed COCO RLE, or None where it is but a box."""
Read = Callable[[Mapping[str, Any], int, int], Shape | None]
"""Returns the shape of a value in an image of that width and height, None where it has no area."""

_CORNERS = 64
"""Of the polygon that stands for an ellipse."""


def reader_of(value: Mapping[str, Any]) -> Read | None:
    """Return what reads the shape of a value; None where it has none that we know.

    What it returns raises KeyError, TypeError, ValueError or OverflowError where the value is
    damaged, or too large to be drawn.

    >>> value = {"x": 10, "y": 20, "width": 30, "height": 40}
    >>> read = reader_of(value)
    >>> read and read(value, 100, 200)
    ([10.0, 40.0, 40.0, 120.0], None)
    """
    return next((read for keys, read in _READERS if value.keys() >= keys), None)


def _rectangle(value: Mapping[str, Any], width: int, height: int) -> Shape | None:
    x, y, w, h = _numbers(value, "x", "y", "width", "height")
    (angle,) = _numbers({"rotation": value.get("rotation") or 0}, "rotation")
    unit = np.array([width, height]) / 100
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]]) * unit
    if angle % 360:  # around the first corner, clockwise on the screen
        return _polygon_shape(_turned(corners, angle) + np.array([x, y]) * unit, width, height)
    box = np.concatenate([corners[0], corners[2]]) + np.tile(np.array([x, y]) * unit, 2)
    return _near(box).tolist(), None


def _polygon(value: Mapping[str, Any], width: int, height: int) -> Shape | None:
    points = np.asarray(value["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError("its points are not pairs")
    return _polygon_shape(points * np.array([width, height]) / 100, width, height)


def _ellipse(value: Mapping[str, Any], width: int, height: int) -> Shape | None:
    x, y, rx, ry = _numbers(value, "x", "y", "radiusX", "radiusY")
    (angle,) = _numbers({"rotation": value.get("rotation") or 0}, "rotation")
    unit = np.array([width, height]) / 100
    points = on_ellipse(rx, ry, _CORNERS) * unit
    return _polygon_shape(_turned(points, angle) + np.array([x, y]) * unit, width, height)


def _brush(value: Mapping[str, Any], width: int, height: int) -> Shape | None:
    rle = value["rle"]
    if not isinstance(rle, list):
        raise ValueError("its rle is not a list")
    counts = from_brush(bytes(rle), height, width)
    box = boxes([counts], height, width)[0]
    return (box.tolist(), counts) if box.any() else None


def _numbers(value: Mapping[str, Any], *keys: str) -> list[float]:
    numbers = [value[key] for key in keys]
    if not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"{', '.join(keys)} are not all numbers")
    return [float(n) for n in numbers]


def _near(points: Floats) -> Floats:
    if not (np.abs(points) < FAR).all():  # NaN is not either
        raise ValueError("a coordinate is far outside the image, or no number")
    return points


def _turned(points: Floats, degrees: float) -> Floats:
    if not abs(degrees) < FAR:
        raise ValueError("its rotation is no number")
    return turned(points, degrees)


def _polygon_shape(points: Floats, width: int, height: int) -> Shape | None:
    """Return the box around a polygon in pixels, and what it covers."""
    _near(points)
    counts = covered([points.ravel()], height, width)
    box = None if counts is None else boxes([counts], height, width)[0]
    return None if counts is None or box is None or not box.any() else (box.tolist(), counts)


_READERS: tuple[tuple[frozenset[str], Read], ...] = (
    (frozenset({"rle"}), _brush),
    (frozenset({"points"}), _polygon),
    (frozenset({"x", "y", "radiusX", "radiusY"}), _ellipse),
    (frozenset({"x", "y", "width", "height"}), _rectangle),
)
"""The keys of a value, and what reads it."""
