"""LabelMe JSON, one file an image beside it, as labelme and X-AnyLabeling read and write them.

https://github.com/wkentaro/labelme and https://github.com/CVHub520/X-AnyLabeling

Masks are written as polygons, each part one, and parts of an object share a `group_id`, which makes
one instance of them in labelme too. labelme could hold the pixels themselves (``mask``), but
X-AnyLabeling does not open a file with such a shape and supervision leaves it out; a seam that
joins a hole to its outline is drawn rightly by all of them. Every kind is read.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.files import (
    absolute,
    blamed_on,
    is_file,
    located,
    read_json,
    read_text,
    visible,
)
from autolabel.datasets.grouped import Piece, join
from autolabel.datasets.labelled import (
    FAR,
    GroundTruthImage,
    LabelledImage,
    loose_boxes,
    plain_score,
    whole_px,
)
from autolabel.errors import AutolabelError
from autolabel.ops.arrays import Bools, Floats
from autolabel.ops.images import IMAGE_SUFFIXES, MAX_PIXELS, ImageError, decode
from autolabel.ops.masks import pasted
from autolabel.ops.points import on_ellipse
from autolabel.ops.polygons import covered, one_ring, outlines
from autolabel.reading import open_regular
from autolabel.types import Objects, Record

_VERSION = "5.5.0"
"""Of labelme, whose files these are like."""
_CLASSES = "labels.txt"
_PATTERNS = ("*.json", "*/*.json", "*/*/*.json")
_LOOKED_AT = 50
"""Files of a folder that are opened to see whether it is LabelMe's."""
_LARGEST = 2**27
"""Bytes; such a file may hold its photo."""
_HEAD = 65_536
_KEYS = re.compile(rb'"(shapes|imagePath|imageData)"')
_BESIDE = ("", "images", "imgs", "img", "JPEGImages")
_HINT = "a LabelMe file has imagePath and shapes, each with label, points and shape_type"
_BOXES = {"rectangle", "rotation", "oriented_rectangle"}
_AREAS = {"polygon", "circle", "mask", "quadrilateral"}


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write ``labels.txt`` with the classes, and a file beside each image."""
    done = base.Written([_CLASSES])
    (folder / _CLASSES).write_text("".join(f"{name}\n" for name in options.names), "utf-8")
    for image in (image for images in splits.values() for image in images):
        file = f"{image.folder}/{image.stem}.json"
        text = to_labelme(image.record, image.file_name, masks=options.masks, lost=done.lost)
        (folder / file).write_text(text, "utf-8", newline="\n")
        done.files.append(file)
    return done


def to_labelme(
    record: Record, file_name: str, *, masks: bool = True, lost: Counter[str] | None = None
) -> str:
    """Return the text of one file, of the kept objects.

    Args:
        record: the image.
        file_name: where the image lies, relative to the file.
        masks: whether masks are written, as polygons.
        lost: counts the masks whose holes are joined to their outlines by seams, and those whose
            box is not the one around them.
    """
    counts, kept, shapes = Counter() if lost is None else lost, record.objects.kept, []
    counts["boxes"] += loose_boxes(kept, record.height, record.width) if masks else 0
    for i, (label, mask) in enumerate(zip(kept.label, kept.mask, strict=True)):
        parts = outlines(mask, record.height, record.width) if masks and mask is not None else []
        counts["seams"] += any(part.holes for part in parts)
        rings = [one_ring([part]) for part in parts] or [kept.xyxy[i].reshape(2, 2)]
        for ring in rings:
            shape = {
                "label": str(label),
                "points": np.round(ring.astype(np.float64), 3).tolist(),
                "group_id": i + 1 if len(rings) > 1 else None,
                "description": "",
                "shape_type": "polygon" if parts else "rectangle",
                "flags": {},
                "mask": None,
                "score": plain_score(kept.score[i]),
            }
            shapes.append(json.dumps(shape, ensure_ascii=False))
    rest = {
        "imagePath": file_name,
        "imageData": None,
        "imageHeight": record.height,
        "imageWidth": record.width,
        "made_by": "autolabel",
    }
    head = f'{{\n"version": "{_VERSION}",\n"flags": {{}},\n"shapes": [\n'
    return head + ",\n".join(shapes) + "\n],\n" + json.dumps(rest, ensure_ascii=False)[1:] + "\n"


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or a folder with such files, also up to two folders below it."""
    skipped: Counter[str] = Counter()
    if not path.is_dir():
        if _is_labelme(path):
            yield base.Candidate(path, partial(_read, path, [path], skipped), skipped=skipped)
        return
    files = [file for pattern in _PATTERNS for file in visible(path, pattern)]
    if any(_is_labelme(file) for file in files[:_LOOKED_AT]):
        yield base.Candidate(path, partial(_read, path, files, skipped), skipped=skipped)


def _is_labelme(file: Path) -> bool:
    try:
        with open_regular(file) as stream:
            if not _KEYS.search(stream.read(_HEAD)):
                return False
        return _has_shapes(read_json(file, _LARGEST))
    except (OSError, AutolabelError):
        return False


def _has_shapes(data: Any) -> bool:
    return isinstance(data, dict) and isinstance(data.get("shapes"), list) and "imagePath" in data


def _read(place: Path, files: Sequence[Path], skipped: Counter[str]) -> base.Labels:
    images = []
    for file in files:
        data = read_json(file, _LARGEST)
        if _has_shapes(data):
            images.append(blamed_on(file, partial(_image, file, data, skipped)))
        else:
            skipped["JSON files that are not LabelMe's"] += 1
    used = {str(label) for image in images for label in image.objects.label}
    named = _classes(place)
    return tuple(dict.fromkeys([*named, *sorted(used)])), images


def _classes(place: Path) -> list[str]:
    """Return the classes that a ``labels.txt`` lists, as labelme's ``--labels`` takes it."""
    folder = place if place.is_dir() else place.parent
    file = next((f for f in (folder, *folder.parents[:2]) if is_file(f / _CLASSES)), None)
    lines = read_text(file / _CLASSES).splitlines() if file else []
    marks = {"", "__ignore__", "_background_"}  # labelme's own
    return [line.strip() for line in lines if line.strip() not in marks]


def _image(file: Path, data: dict[str, Any], skipped: Counter[str]) -> GroundTruthImage:
    width, height = (whole_px(data.get(key)) for key in ("imageWidth", "imageHeight"))
    none = LabelledImage(str(data["imagePath"]), width, height, Objects.empty(), np.zeros(0, bool))
    here = absolute(file).parent
    folders = [folder / name for folder in (here, here.parent) for name in _BESIDE]
    image = located(none, none.file_name, folders)
    if image.path is None:  # the image was renamed, and the file with it
        renamed = located(none, file.stem, folders, sorted(IMAGE_SUFFIXES))
        image = image if renamed.path is None else replace(renamed, name=renamed.path.name)
    objects, ignore = from_shapes(data["shapes"], image.width, image.height, skipped)
    return replace(image, objects=objects, ignore=ignore)


def from_shapes(
    shapes: Sequence[Any], width: int, height: int, skipped: Counter[str]
) -> tuple[Objects, Bools]:
    """Return the objects of a file's shapes, and which are to be ignored, bool (n,).

    Polygons, circles and masks with the same label and `group_id` are one object, as in labelme;
    a turned rectangle is the box around it.

    Args:
        shapes: as the file lists them.
        width, height: of the image in pixels; where they are 0, there are no masks.
        skipped: counts what is neither a box nor an area.

    Raises:
        AutolabelError: a shape has no label, no usable points, or a damaged mask.
    """
    pieces = []
    for i, shape in enumerate(shapes):
        kind = (shape.get("shape_type") or "polygon") if isinstance(shape, dict) else None
        if kind not in _BOXES | _AREAS and isinstance(kind, str):
            skipped[f"{kind[:40]} shapes"] += 1
            continue
        try:
            pieces.append(_piece(shape, str(kind), width, height))
        except ValueError as e:
            raise AutolabelError(f"shape {i}: {e}", hint=_HINT) from None
    return join(pieces, width, height)


def _piece(shape: Any, kind: str, width: int, height: int) -> Piece:
    """Return what one shape says.

    Raises:
        ValueError: what is wrong with it.
    """
    label = shape.get("label") if isinstance(shape, dict) else None
    if not isinstance(label, str) or not label:
        raise ValueError("it has no label")
    points, mask = _points(shape.get("points"), kind), None
    if kind == "mask":
        points[1] += 1  # the corner is the last pixel
        mask = _pasted(shape.get("mask"), points, width, height) if width and height else None
    elif kind in _AREAS and width and height:
        mask = covered([points.ravel()], height, width)
    score, group = shape.get("score"), shape.get("group_id")
    return Piece(
        label,
        points,
        mask,
        score=float(score) if isinstance(score, int | float) and 0 <= score <= 1 else 1.0,
        group=group if isinstance(group, int) and kind in _AREAS else None,
        difficult=bool(shape.get("difficult")),
    )


def _points(given: Any, kind: str) -> Floats:
    """Return the corners (k, 2) of a shape; 72 of a circle, which is a centre and a point on it."""
    try:
        points = np.array(given, np.float64)
    except (TypeError, ValueError, OverflowError):
        points = np.zeros(0)
    least = 3 if kind in ("polygon", "quadrilateral") else 2
    flat = points.ndim == 2 and points.shape[1] == 2 and len(points) >= least
    if not flat or not (np.abs(points) < FAR).all():
        raise ValueError(f"a {kind} without usable points")
    if kind == "mask":
        corners: Floats = np.sort(points[:2], axis=0)
        return corners
    if kind == "circle":
        radius = float(np.hypot(*(points[1] - points[0])))
        points = points[0] + on_ellipse(radius, radius, 72)
    return points


def _pasted(given: Any, corners: Floats, width: int, height: int) -> bytes:
    """Return the mask whose pixels a shape holds as a PNG of its box."""
    (x1, y1), (x2, y2) = corners.astype(int).tolist()
    inside = 0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height and width * height <= MAX_PIXELS
    if not inside or not isinstance(given, str):
        raise ValueError("a mask that is not within its image, or without its PNG")
    try:
        pixels = decode(base64.b64decode(given, validate=True))
    except (binascii.Error, ImageError) as e:
        raise ValueError(f"a mask that is no PNG: {e}") from None
    if pixels.shape[:2] != (y2 - y1, x2 - x1):
        raise ValueError("a mask of another size than its box")
    return pasted(pixels.max(axis=2) > 0, y1, x1, height, width)


_CARRIES = base.Carries(masks=True, holes=True, scores=True)
_SIGNED = base.Signature(re.compile(rb'"made_by"\s*:\s*"autolabel"'), '"made_by" in {}')
LABELME = base.Format(
    "LabelMe JSON",
    base.Reader(find, (".json",), "a folder of LabelMe .json files beside their images", _CARRIES),
    base.Writer(("images/", _CLASSES), write, _CARRIES, heads=(_CLASSES,), signature=_SIGNED),
)
