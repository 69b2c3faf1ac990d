"""YOLO labels, boxes or outlines, and ``data.yaml``, as ultralytics reads them.

https://docs.ultralytics.com/datasets/detect/ and https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from autolabel.datasets.labelled import class_ids
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import cxcywh_shares_to_xyxy, xyxy_to_cxcywh_shares
from autolabel.ops.polygons import Part, one_ring
from autolabel.reading import parse_yaml
from autolabel.types import Objects

SPLITS = ("train", "val", "test")
_ROW_HINT = "write: class cx cy w h (shares of the image), or class x1 y1 x2 y2 x3 y3 …"
_TOLERANCE = 0.01  # what ultralytics lets pass beyond the image


@dataclass(frozen=True)
class DataYaml:
    """What a ``data.yaml`` says.

    Attributes:
        names: classes in the order of their ids.
        path: the dataset's root as written, or None.
        splits: split -> folders or lists of images, as written.
    """

    names: tuple[str, ...]
    path: str | None
    splits: dict[str, tuple[str, ...]]


def to_yolo_label(objects: Objects, names: Sequence[str], width_px: int, height_px: int) -> str:
    """The text of one label file: a line per kept object, empty for a background image.

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
    outlines: Sequence[Sequence[Part]],
) -> str:
    """The text of one label file for segmentation: class, then x and y as shares of the image.

    A line holds one path: an object of several parts or with holes is joined by seams, and one
    without an outline is its box.

    Args:
        objects: those that are kept are written.
        names: classes in the order of their ids.
        width_px, height_px: of the image.
        outlines: of each kept object's mask.

    Raises:
        ValueError: a label is not in `names`, or the lengths differ.
    """
    kept = objects.kept
    lines = []
    for class_id, box, parts in zip(class_ids(kept, names), kept.xyxy, outlines, strict=True):
        x1, y1, x2, y2 = box.tolist()
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        path = one_ring(parts) if parts else np.array(corners, float)
        # Six decimals: 0.01 px in 10,000.
        shares = np.clip(path / [width_px, height_px], 0, 1).ravel()
        lines.append(f"{class_id} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
    return "".join(lines)


def from_yolo_label(text: str, names: Sequence[str], width_px: int, height_px: int) -> Objects:
    """Read one label file: boxes, boxes with a score at the end, and polygons as their boxes.

    Raises:
        AutolabelError: a line is not a label; the message names it.
    """
    labels: list[str] = []
    scores: list[float] = []
    boxes: list[list[float]] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if line.strip():
            try:
                name, score, box = _row(line, names)
            except ValueError as e:
                raise AutolabelError(f"line {number}: {e}", hint=_ROW_HINT) from None
            labels.append(name)
            scores.append(score)
            boxes.append(box)
    return Objects.create(labels, scores, cxcywh_shares_to_xyxy(boxes, width_px, height_px))


def _row(line: str, names: Sequence[str]) -> tuple[str, float, list[float]]:
    """Class, score and (cx, cy, w, h) of one line.

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
    if len(values) == 4:
        return names[int(class_id)], score, values
    points = np.array(values).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return names[int(class_id)], score, [*((low + high) / 2).tolist(), *(high - low).tolist()]


def data_yaml(names: Sequence[str], *, val: bool) -> str:
    """The text of a ``data.yaml``.

    It has no ``path``: trainers then take the folder that the file lies in, so that the dataset
    can be moved. A relative one, ``.`` included, they look for in the current folder or their own.

    Args:
        names: classes in the order of their ids.
        val: whether there is a val split.
    """
    lines = ["# written by autolabel", _dumped({"train": "images/train"})]
    if not val:
        lines.append("# there is no val split, but trainers require the key")
    lines.append(_dumped({"val": "images/val" if val else "images/train"}))
    lines.append(_dumped({"names": dict(enumerate(names))}))
    return "\n".join(lines) + "\n"


def _dumped(data: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text.rstrip("\n")


def from_data_yaml(text: str) -> DataYaml:
    """Read a ``data.yaml`` with `names` as a list or as a mapping of ids.

    Raises:
        AutolabelError: it is not YAML, or has no usable names.
    """
    try:
        data = parse_yaml(text)
    except ValueError as e:
        raise AutolabelError(f"not valid YAML: {e}", hint="mend that line") from None
    if not isinstance(data, dict):
        raise AutolabelError("no keys in it", hint="a data.yaml has names:, train: and val:")
    splits = {
        split: tuple(str(v) for v in (value if isinstance(value, list) else [value]))
        for split in SPLITS
        if (value := data.get(split))
    }
    path = data.get("path")
    return DataYaml(_names(data.get("names")), None if path is None else str(path), splits)


def _names(given: Any) -> tuple[str, ...]:
    if isinstance(given, dict):
        try:
            by_id = {int(key): name for key, name in given.items()}
        except (TypeError, ValueError, OverflowError):
            by_id = {}
        if sorted(by_id) == list(range(len(given))):
            given = [by_id[i] for i in range(len(by_id))]
    if not isinstance(given, list) or not given:
        raise AutolabelError(
            "its names are not numbered from 0 without gaps" if given else "it has no names",
            hint="write names: [cat, dog], or names: {0: cat, 1: dog}",
        )
    return tuple(str(name) for name in given)
