"""One labelled image, as a file of labels describes it and as it was found on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from autolabel.ops.arrays import Bools
from autolabel.ops.masks import boxes
from autolabel.types import Objects

FAR = 1e7
"""Pixels; a coordinate beyond is a mistake (and so is NaN, which is not below)."""


_FITS_PX = 1.5
"""How far a box may be from the box around its mask, which stands for it in a file of masks."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image of an annotation file.

    Attributes:
        file_name: as the file gives it; it may be a path, and a hostile one.
        width, height: pixels; 0 where the file does not say.
        objects: the labels, score 1 where the file has none.
        ignore: (n,) bool, True where neither a hit nor a miss counts: crowds, difficult objects
            and boxes without area.
    """

    file_name: str
    width: int
    height: int
    objects: Objects
    ignore: Bools


@dataclass(frozen=True, eq=False)
class GroundTruthImage:
    """One hand-labelled image.

    Attributes:
        name: as the labels give it.
        path: where the image lies, or None if it is not there.
        image_id: of its bytes, as in `Record`; None if it is not there.
        width, height: pixels of the upright image; 0 if nothing tells.
        objects: the hand labels.
        ignore: (n,) bool, True where neither a hit nor a miss counts.
        looked_at: False where nothing says that anybody looked at it: it lies among the images,
            and its labels do not name it.
    """

    name: str
    path: Path | None
    image_id: str | None
    width: int
    height: int
    objects: Objects
    ignore: Bools
    looked_at: bool = True


def side_px(text: str) -> int:
    """Return a width or height in pixels, 0 where the text is none.

    >>> side_px("640"), side_px("480.0"), side_px("-1"), side_px("nan"), side_px("")
    (640, 480, 0, 0, 0)
    """
    try:
        side = int(float(text))
    except (ValueError, OverflowError):
        return 0
    return side if 0 < side < 1_000_000 else 0


def whole_px(value: object) -> int:
    """Return a width or height in pixels, 0 where the value is no whole number of them."""
    return value if isinstance(value, int) and 0 < value < 1_000_000 else 0


def plain_score(score: np.float32) -> float:
    """Return a score as it is printed: 0.35, and not 0.3499999940395355."""
    return float(str(score))


def shortest(value: float) -> str:
    """Return a coordinate in thousandths of a pixel, without zeros that say nothing.

    >>> shortest(12.0), shortest(0.25), shortest(1 / 3), shortest(100)
    ('12', '0.25', '0.333', '100')
    """
    return f"{value:.3f}".rstrip("0").rstrip(".")


def inner_path(file_name: str) -> PurePosixPath | None:
    """Return the path below a folder that an annotation file's file name stands for, or None.

    An absolute path, a URL or one with ``..`` is cut to its last part, so that the result joined
    to a folder never leads out of that folder.

    >>> inner_path("val/a.jpg"), inner_path("../../etc/a.jpg"), inner_path(r"C:\\photos\\a.jpg")
    (PurePosixPath('val/a.jpg'), PurePosixPath('a.jpg'), PurePosixPath('a.jpg'))
    >>> inner_path("..") is None
    True
    """
    if "\0" in file_name:
        return None
    posix, windows = PurePosixPath(file_name), PureWindowsPath(file_name)
    if ".." not in windows.parts and not windows.anchor and "://" not in file_name:
        return posix if posix.parts else None
    return PurePosixPath(windows.name) if windows.name not in ("", "..") else None


def class_ids(objects: Objects, names: Sequence[str]) -> list[int]:
    """Return the index of each object's class in `names`.

    Raises:
        ValueError: a label is not one of the names.
    """
    ids = {name: i for i, name in enumerate(names)}
    unknown = sorted(set(objects.label) - ids.keys())
    if unknown:
        raise ValueError(f"label {unknown[0]!r} is not in the ontology {list(names)}")
    return [ids[label] for label in objects.label]


def loose_boxes(objects: Objects, height: int, width: int) -> int:
    """Count the objects whose box is not the one around their mask, by more than `_FITS_PX`.

    A file that holds their masks alone gives the box around the mask in its place.
    """
    masked = [i for i, mask in enumerate(objects.mask) if mask is not None]
    around = boxes(objects.mask[masked].tolist(), height, width)
    off = np.abs(around - objects.xyxy[masked]) > _FITS_PX
    empty = (around[:, 2:] == around[:, :2]).any(axis=1)
    return int((off.any(axis=1) & ~empty).sum())
