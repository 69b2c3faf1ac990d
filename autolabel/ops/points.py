"""Points in the plane, (k, 2), x before y, as shapes are drawn with."""

from __future__ import annotations

import numpy as np

from autolabel.ops.arrays import Floats


def turned(points: Floats, degrees: float) -> Floats:
    """Return points turned around the origin, clockwise where y grows downwards.

    >>> turned(np.array([[1.0, 0.0]]), 90).round(3).tolist()
    [[0.0, 1.0]]
    """
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    found: Floats = points @ np.array([[cos, sin], [-sin, cos]])
    return found


def on_ellipse(radius_x: float, radius_y: float, count: int) -> Floats:
    """Return so many points on an ellipse around the origin, (count, 2).

    >>> on_ellipse(2, 1, 4).round(3).tolist()
    [[2.0, 0.0], [0.0, 1.0], [-2.0, 0.0], [-0.0, -1.0]]
    """
    turns = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([radius_x * np.cos(turns), radius_y * np.sin(turns)], axis=1)
