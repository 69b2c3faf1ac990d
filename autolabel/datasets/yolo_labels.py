"""One YOLO label file: a line for each object, a box or an outline.

https://docs.ultralytics.com/datasets/detect/ and https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autolabel.datasets.labelled import class_ids
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import cxcywh_shares_to_xyxy, xyxy_to_cxcywh_shares
from autolabel.ops.masks import areas
from autolabel.ops.polygons import Part, covered, one_ring
from autolabel.types import Objects

_ROW_HINT = "write: class cx cy w h (shares of the image), or class x1 y1 x2 y2 x3 y3 …"
_TOLERANCE = 0.01  # what ultralytics lets pass beyond the image


def to_yolo_label(objects: Objects, names: Sequence[str], width_px: int, height_px: int) -> str:
    """Return the text of one label file: a line per kept object, none for a background image.

    >>> cat = Objects.create(["cat"], [0.9], [[0, 0, 50, 20]])
    >>> to_yolo_label(cat, ["dog", "cat"], 100, 80)
    '1 0.25000000 0.12500000 0.50000000 0.25000000\\n'

    Raises:
        ValueError: a label is not in `names`.
    """
    kept = objects.kept
    rows = xyxy_to_cxcywh_shares(kept.xyxy, width_px, height_px).tolist()
    # Eight decimals: 0.0001 px in 10,000.
    return "".join(
        f"{class_id} {cx:.8f} {cy:.8f} {w:.8f} {h:.8f}\n"
        for class_id, (cx, cy, w, h) in zip(class_ids(kept, names), rows, strict=True)
    )


def to_yolo_outlines(
    objects: Objects,
    names: Sequence[str],
    width_px: int,
    height_px: int,
    parts: Sequence[Sequence[Part]],
) -> str:
    """Return the text of one label file for segmentation: class, then x and y as image shares.

    A line holds one path: an object of several parts or with holes is joined by seams, and one
    without an outline is its box.

    Args:
        objects: those that are kept are written.
        names: classes in the order of their ids.
        width_px, height_px: of the image.
        parts: of each kept object's mask.

    Raises:
        ValueError: a label is not in `names`, or the lengths differ.
    """
    kept = objects.kept
    lines = []
    for class_id, box, outline in zip(class_ids(kept, names), kept.xyxy, parts, strict=True):
        x1, y1, x2, y2 = box.tolist()
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        path = one_ring(outline) if outline else np.array(corners, float)
        # Six decimals: 0.01 px in 10,000.
        shares = np.clip(path / [width_px, height_px], 0, 1).ravel()
        lines.append(f"{class_id} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
    return "".join(lines)


def from_yolo_label(
    text: str, names: Sequence[str], width_px: int, height_px: int, *, masks: bool = True
) -> Objects:
    """Read one label file: boxes, boxes with a score at the end, and outlines.

    Each line counts for itself: four values are a box, five a box with a score, six or more an
    outline, whose box is that around its corners. (ultralytics refuses a file that mixes boxes and
    outlines, and takes the boxes alone of a dataset that has files of both kinds.)

    >>> mixed = from_yolo_label("0 .5 .5 1 1\\n0 0 0 .5 0 .5 .5 0 .5", ["cat"], 4, 4)
    >>> mixed.xyxy.tolist(), mixed.mask.tolist()
    ([[0.0, 0.0, 4.0, 4.0], [0.0, 0.0, 2.0, 2.0]], [None, b'02208'])

    Args:
        text: of the file.
        names: classes in the order of their ids.
        width_px, height_px: of the image.
        masks: whether an outline is filled, to a mask that is None where it covers no pixel.

    Raises:
        AutolabelError: a line is not a label, or its outline is too long to fill; the message
            names it.
    """
    labels: list[str] = []
    scores: list[float] = []
    boxes: list[list[float]] = []
    drawn: list[bytes | None] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if line.strip():
            try:
                name, score, values = _row(line, names)
                filled = masks and len(values) > 4
                drawn.append(_filled(values, height_px, width_px) if filled else None)
            except ValueError as e:
                raise AutolabelError(f"line {number}: {e}", hint=_ROW_HINT) from None
            labels.append(name)
            scores.append(score)
            boxes.append(values if len(values) == 4 else _around(values))
    xyxy = cxcywh_shares_to_xyxy(boxes, width_px, height_px)
    return Objects.create(labels, scores, xyxy, mask=drawn)


def _filled(shares: Sequence[float], height_px: int, width_px: int) -> bytes | None:
    points = np.array(shares).reshape(-1, 2) * [width_px, height_px]
    mask = covered([points.ravel()], height_px, width_px)
    return mask if mask and areas([mask], height_px, width_px)[0] else None


def _around(shares: Sequence[float]) -> list[float]:
    """Return (cx, cy, w, h) of the box around corners."""
    points = np.array(shares).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return [*((low + high) / 2).tolist(), *(high - low).tolist()]


def _row(line: str, names: Sequence[str]) -> tuple[str, float, list[float]]:
    """Return class, score, and (cx, cy, w, h) or corners of one line.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        class_id, *values = (float(v) for v in line.split())
    except ValueError:
        raise ValueError("something is not a number") from None
    if not (class_id.is_integer() and 0 <= class_id < len(names)):
        raise ValueError(f"class {class_id:g} is not one of the {len(names)} classes")
    score = values.pop() if len(values) == 5 else 1.0
    if len(values) < 4 or len(values) % 2:
        raise ValueError(f"{1 + len(values)} values are neither a box nor a polygon")
    # NaN compares as False, and so is refused.
    if not (all(-_TOLERANCE <= v <= 1 + _TOLERANCE for v in values) and 0 <= score <= 1):
        raise ValueError("a value is not between 0 and 1")
    return names[int(class_id)], score, values
