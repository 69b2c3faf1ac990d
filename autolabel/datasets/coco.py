"""COCO detection and segmentation JSON: https://cocodataset.org/#format-data."""

from __future__ import annotations

import itertools
import json
import reprlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from autolabel.datasets.labelled import FAR, LabelledImage, class_ids
from autolabel.errors import AutolabelError
from autolabel.ops import masks as ops
from autolabel.ops.boxes import box_areas, xywh_to_xyxy
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.polygons import Part
from autolabel.types import Objects, Record

LISTS = ("images", "annotations", "categories")
"""The keys of a COCO file, each a list."""

_LONGEST_OUTLINE = 10_000_000
"""Pixels; filling a polygon takes some 40 bytes for each pixel of its outline."""
_HINT = "the file must be a COCO detection file: images, annotations and categories"


def to_coco(
    records: Iterable[Record],
    names: Sequence[str],
    file_names: Iterable[str],
    *,
    masks: bool = True,
    outlines: Iterable[Sequence[Sequence[Part]]] | None = None,
) -> dict[str, Any]:
    """A COCO dict of the kept objects; images without any are in it too.

    Args:
        records: the images.
        names: classes in the order of their ids; category ids start at 1.
        file_names: `file_name` of each record.
        masks: whether masks are written, as RLE unless there are outlines.
        outlines: for each record those of each kept object's mask, to be written as polygons: one
            for each part, without its holes.

    Raises:
        ValueError: a label is not in `names`, or the lengths differ.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    drawn = itertools.repeat(None) if outlines is None else outlines
    rows = zip(zip(records, file_names, strict=True), drawn, strict=False)
    for image_id, ((record, file_name), parts) in enumerate(rows, 1):
        size = {"width": record.width, "height": record.height}
        images.append({"id": image_id, "file_name": file_name, **size})
        for fields in _annotations(record, names, masks, parts):
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **fields})
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, 1)]
    return {
        "info": {"description": "labelled by autolabel"},
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def _annotations(
    record: Record,
    names: Sequence[str],
    masks: bool,
    outlines: Sequence[Sequence[Part]] | None,
) -> Iterator[dict[str, Any]]:
    kept = record.objects.kept
    size = [record.height, record.width]
    # Corners are rounded before sizes are taken, so that x + w is the rounded right edge.
    corners = np.round(kept.xyxy.astype(np.float64), 3)
    sizes = np.round(corners[:, 2:] - corners[:, :2], 3)
    for i, class_id in enumerate(class_ids(kept, names)):
        (x, y), (w, h) = corners[i, :2].tolist(), sizes[i].tolist()
        segmentation: Any = []
        area = round(w * h, 3)
        if masks and outlines is not None:
            segmentation = [np.round(part.outer, 2).ravel().tolist() for part in outlines[i]]
            if segmentation:
                area = float(rle.area(rle.merge(rle.frPyObjects(segmentation, *size))))
        elif masks and kept.mask[i] is not None:
            counts = kept.mask[i]
            area = float(rle.area({"size": size, "counts": counts}))
            segmentation = {"size": size, "counts": counts.decode("ascii")}
        yield {
            "category_id": class_id + 1,
            "bbox": [x, y, w, h],
            "area": area,
            "iscrowd": 0,
            "segmentation": segmentation,
            "score": float(str(kept.score[i])),  # 0.35, not 0.3499999940395355
        }


def dump(data: Mapping[str, Any]) -> Iterator[str]:
    """A COCO dict as JSON text in pieces, one image or annotation a line.

    ASCII, because pycocotools opens files in whatever encoding the system prefers.
    """
    yield "{"
    for i, (key, value) in enumerate(data.items()):
        yield f"{',' if i else ''}\n{json.dumps(key)}: "
        if isinstance(value, list) and value:
            for j, item in enumerate(value):
                yield f"{',' if j else '['}\n{json.dumps(item)}"
            yield "\n]"
        else:
            yield json.dumps(value)
    yield "\n}\n"


def from_coco(data: Any) -> tuple[tuple[str, ...], list[LabelledImage]]:
    """Class names in the order of their ids, and the images in the order of the file.

    Polygons and RLE become compressed RLE, where the image's size is given. A box that is absent
    is taken from the segmentation; one of negative size is turned the right way round.

    Raises:
        AutolabelError: a key is missing, an id leads nowhere, two categories have the same id, or
            a mask does not fit its image.
    """
    images, annotations, categories = (_listed(data, key) for key in LISTS)
    by_id = _by_id(categories)
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for a in _with_keys(annotations, "annotations", "image_id", "category_id"):
        if a["category_id"] not in by_id:
            raise AutolabelError(
                f"{_called(a)} has category_id {a['category_id']!r}, which is no category",
                hint="add the category to the file, or remove the annotation",
            )
        rows[a["image_id"]].append(a)
    known = [i["id"] for i in _with_keys(images, "images", "id", "file_name")]
    if len(set(known)) < len(known):
        raise AutolabelError("two images have the same id", hint="give each image its own id")
    for image_id in rows.keys() - set(known):
        raise AutolabelError(
            f"{_called(rows[image_id][0])} has image_id {image_id!r}, which is no image",
            hint="add the image to the file, or remove the annotation",
        )
    names = tuple(dict.fromkeys(by_id[key] for key in sorted(by_id, key=_numbers_first)))
    return names, [_image(image, rows[image["id"]], by_id) for image in images]


def _called(annotation: Mapping[str, Any]) -> str:
    return f"annotation {reprlib.repr(annotation.get('id'))}"


def _by_id(categories: list[Any]) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for c in _with_keys(categories, "categories", "id", "name"):
        name = str(c["name"])
        if names.setdefault(c["id"], name) != name:
            raise AutolabelError(
                f"category id {c['id']!r} is both {names[c['id']]!r} and {name!r}",
                hint="give each category its own id",
            )
    return names


def _numbers_first(key: Any) -> tuple[bool, Any]:
    return (False, key) if isinstance(key, int) else (True, str(key))


def _listed(data: Any, key: str) -> list[Any]:
    value = data.get(key) if isinstance(data, dict) else None
    if not isinstance(value, list):
        raise AutolabelError(f"there is no list {key!r} in the file", hint=_HINT)
    return value


def _with_keys(rows: list[Any], what: str, *keys: str) -> list[dict[str, Any]]:
    for i, row in enumerate(rows):
        missing = [k for k in keys if k not in row] if isinstance(row, dict) else list(keys)
        if missing:
            raise AutolabelError(f"entry {i} of {what!r} has no {missing[0]!r}", hint=_HINT)
        for key in keys:
            if isinstance(row[key], list | dict):
                raise AutolabelError(f"entry {i} of {what!r} has a wrong {key!r}", hint=_HINT)
    return rows


def _image(
    image: dict[str, Any], rows: Sequence[dict[str, Any]], by_id: Mapping[Any, str]
) -> LabelledImage:
    width, height = (_pixels(image.get(key)) for key in ("width", "height"))
    masks = [_mask(row, width, height) for row in rows]
    boxes = xywh_to_xyxy([_bbox(row, mask) for row, mask in zip(rows, masks, strict=True)])
    objects = Objects.create(
        [by_id[row["category_id"]] for row in rows],
        [_score(row.get("score")) for row in rows],
        boxes,
        mask=[None if mask is None else mask["counts"] for mask in masks],
    )
    crowd = np.array([bool(row.get("iscrowd")) for row in rows], dtype=bool)
    ignore = crowd | (box_areas(boxes) == 0)
    return LabelledImage(str(image["file_name"]), width, height, objects, ignore)


def _pixels(value: Any) -> int:
    return value if isinstance(value, int) and 0 < value < 1_000_000 else 0


def _score(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 1.0


def _bbox(row: Mapping[str, Any], mask: Any) -> list[float]:
    given = row.get("bbox")
    if given:
        try:
            box = [float(v) for v in given]
        except (TypeError, ValueError, OverflowError):
            box = []
        if len(box) == 4 and all(abs(v) < FAR for v in box):
            return box
    elif mask is not None:
        return [float(v) for v in rle.toBbox(mask)]
    raise AutolabelError(
        f"{_called(row)} has no usable bbox: {reprlib.repr(given)}",
        hint="write bbox as [left, top, width, height] in pixels",
    )


def _mask(row: Mapping[str, Any], width: int, height: int) -> Any:
    """COCO's compressed RLE object of the image's size, or None where there is none."""
    segmentation = row.get("segmentation")
    if not segmentation or not width or not height:
        return None
    size = [height, width]
    try:
        if width * height > MAX_PIXELS:
            raise ValueError(f"a mask of {width} x {height} pixels is over {MAX_PIXELS}")
        if not isinstance(segmentation, dict):
            return _filled(segmentation, height, width)
        counts = segmentation.get("counts")
        if segmentation.get("size") != size or not counts:
            return None
        return {"size": size, "counts": _compressed(counts, height, width)}
    except ValueError as e:
        raise AutolabelError(
            f"{_called(row)}: {e}", hint="mend its segmentation, or take it away"
        ) from None


def _compressed(counts: Any, height: int, width: int) -> bytes:
    """RLE that is sure to cover the image.

    Raises:
        ValueError: it does not.
    """
    if isinstance(counts, str) and counts.isascii():
        compressed = counts.encode()
        if ops.fits([compressed], height * width)[0]:
            return compressed
    numbers = isinstance(counts, list) and all(isinstance(n, int) and n >= 0 for n in counts)
    if numbers and sum(counts) == height * width:
        plain = {"size": [height, width], "counts": _without_empty(counts)}
        made: bytes = rle.frPyObjects(plain, height, width)["counts"]
        return made
    raise ValueError(f"its RLE is damaged, or does not cover {width} x {height} pixels")


def _without_empty(counts: Sequence[int]) -> list[int]:
    """Runs of which only the first may be of length zero, see `ops.fits`.

    >>> _without_empty([2, 0, 3, 4]), _without_empty([0, 1, 0, 0, 5])
    ([5, 4], [0, 1, 5])
    """
    runs, value = [0], 0
    for i, length in enumerate(counts):
        if i % 2 == value:
            runs[-1] += length
        elif length:
            runs.append(length)
            value = i % 2
    return runs


def _filled(segmentation: Any, height: int, width: int) -> Any:
    """Polygons as one RLE object, or None where none of them has an area.

    Raises:
        ValueError: their outline is too long to fill.
    """
    try:
        polygons = [np.asarray(p, dtype=np.float64).ravel() for p in segmentation]
    except (TypeError, ValueError, OverflowError):
        return None
    # pycocotools takes four numbers for a box, and memory in proportion to far-off points.
    polygons = [p for p in polygons if len(p) >= 6 and len(p) % 2 == 0 and np.isfinite(p).all()]
    if not polygons:
        return None
    reach = 2 * max(height, width)
    bounded = [np.clip(p, -reach, reach) for p in polygons]
    closed = [np.concatenate([p, p[:2]]).reshape(-1, 2) for p in bounded]
    outline = sum(float(np.abs(np.diff(p, axis=0)).max(axis=1).sum()) for p in closed)
    if outline > _LONGEST_OUTLINE:
        raise ValueError(f"the outline of its polygons is {outline:.0f} pixels long")
    return rle.merge(rle.frPyObjects([p.tolist() for p in bounded], height, width))
