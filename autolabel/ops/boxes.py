"""Boxes as (n, 4) arrays: xyxy is half-open corners, xywh is corner and size, in pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from autolabel.ops.arrays import Floats


def xyxy_to_xywh(boxes_xyxy: npt.ArrayLike) -> Floats:
    """Convert corners to left, top, width, height.

    >>> xyxy_to_xywh([[1, 2, 4, 6]]).tolist()
    [[1.0, 2.0, 3.0, 4.0]]
    """
    boxes = _boxes(boxes_xyxy)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def xywh_to_xyxy(boxes_xywh: npt.ArrayLike) -> Floats:
    """Convert left, top, width, height to corners; a negative size reaches left or up.

    >>> xywh_to_xyxy([[1, 2, 3, 4], [4, 6, -3, -4]]).tolist()
    [[1.0, 2.0, 4.0, 6.0], [1.0, 2.0, 4.0, 6.0]]
    """
    boxes = _boxes(boxes_xywh)
    return order_corners(np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1))


def xyxy_to_cxcywh_shares(boxes_xyxy: npt.ArrayLike, width: int, height: int) -> Floats:
    """Convert corners in pixels to centre and size as shares of the image, as of YOLO.

    >>> xyxy_to_cxcywh_shares([[0, 0, 50, 20]], 100, 80).tolist()
    [[0.25, 0.125, 0.5, 0.25]]
    """
    boxes = _boxes(boxes_xyxy)
    centre, size = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([centre, size], axis=1) / [width, height, width, height]


def cxcywh_shares_to_xyxy(boxes_cxcywh: npt.ArrayLike, width: int, height: int) -> Floats:
    """Convert centre and size as shares of the image to corners in pixels.

    >>> cxcywh_shares_to_xyxy([[0.25, 0.125, 0.5, 0.25]], 100, 80).tolist()
    [[0.0, 0.0, 50.0, 20.0]]
    """
    boxes = _boxes(boxes_cxcywh)
    half = boxes[:, 2:] / 2
    corners = np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)
    return order_corners(corners * [width, height, width, height])


def order_corners(boxes_xyxy: npt.ArrayLike) -> Floats:
    """Return the same boxes with x1 <= x2 and y1 <= y2.

    >>> order_corners([[4, 6, 1, 2]]).tolist()
    [[1.0, 2.0, 4.0, 6.0]]
    """
    boxes = _boxes(boxes_xyxy)
    return np.concatenate(
        [np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])], axis=1
    )


def clip_boxes(boxes_xyxy: npt.ArrayLike, width: int, height: int) -> Floats:
    """Return the part of each box that lies in the image; empty, at the border, where none does.

    >>> clip_boxes([[-5, 2, 120, 9], [200, 0, 300, 9]], 100, 80).tolist()
    [[0.0, 2.0, 100.0, 9.0], [100.0, 0.0, 100.0, 9.0]]
    """
    return np.clip(_boxes(boxes_xyxy), 0, [width, height, width, height])


def box_areas(boxes_xyxy: npt.ArrayLike) -> Floats:
    """Return square pixels of each box, (n,).

    >>> box_areas([[1, 2, 4, 6]]).tolist()
    [12.0]
    """
    sizes = xyxy_to_xywh(boxes_xyxy)[:, 2:]
    return sizes[:, 0] * sizes[:, 1]


def _boxes(boxes: npt.ArrayLike) -> Floats:
    return np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
