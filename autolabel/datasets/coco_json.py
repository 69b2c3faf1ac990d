"""Labels as a COCO dict and back: https://cocodataset.org/#format-data."""

from __future__ import annotations

import json
import reprlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from pycocotools import mask as rle

from autolabel.datasets.labelled import FAR, LabelledImage, class_ids, plain_score, whole_px
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, xywh_to_xyxy
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.masks import from_counts
from autolabel.ops.polygons import covered, outlines
from autolabel.types import Objects, Record

_MADE_BY = "labelled by autolabel"
_HINT = "the file must be a COCO detection file: images, annotations and categories"


def to_coco(
    records: Iterable[Record],
    names: Sequence[str],
    file_names: Iterable[str],
    *,
    masks: bool = True,
    polygons: bool = False,
    lost: Counter[str] | None = None,
) -> dict[str, Any]:
    """Return a COCO dict of the kept objects; images without any are in it too.

    Args:
        records: the images.
        names: classes in the order of their ids; category ids start at 1.
        file_names: `file_name` of each record.
        masks: whether masks are written, as RLE.
        polygons: whether they are polygons instead: one for each part, without its holes.
        lost: counts the masks whose holes were filled for that.

    Raises:
        ValueError: a label is not in `names`, or the lengths differ.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    drawn = _with_polygons if polygons else _with_rle
    for image_id, (record, file_name) in enumerate(zip(records, file_names, strict=True), 1):
        size = {"width": record.width, "height": record.height}
        images.append({"id": image_id, "file_name": file_name, **size})
        kept = record.objects.kept
        for fields, counts in zip(_boxes(kept, names), kept.mask, strict=True):
            if masks and counts is not None:
                fields |= drawn(counts, record, Counter() if lost is None else lost)
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **fields})
    categories = [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(names, 1)]
    return {
        "info": {"description": _MADE_BY},
        "licenses": [],
        "categories": categories,
        "images": images,
        "annotations": annotations,
    }


def _boxes(kept: Objects, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    # Corners are rounded before sizes are taken, so that x + w is the rounded right edge.
    corners = np.round(kept.xyxy.astype(np.float64), 3)
    sizes = np.round(corners[:, 2:] - corners[:, :2], 3)
    for i, class_id in enumerate(class_ids(kept, names)):
        (x, y), (w, h) = corners[i, :2].tolist(), sizes[i].tolist()
        yield {
            "category_id": class_id + 1,
            "bbox": [x, y, w, h],
            "area": round(w * h, 3),
            "iscrowd": 0,
            "segmentation": [],
            "score": plain_score(kept.score[i]),
        }


def _with_rle(counts: bytes, record: Record, lost: Counter[str]) -> dict[str, Any]:
    size = [record.height, record.width]
    area = float(rle.area({"size": size, "counts": counts}))
    return {"area": area, "segmentation": {"size": size, "counts": counts.decode("ascii")}}


def _with_polygons(counts: bytes, record: Record, lost: Counter[str]) -> dict[str, Any]:
    parts = outlines(counts, record.height, record.width)
    if not parts:
        return {}
    lost["holes"] += any(part.holes for part in parts)
    polygons = [np.round(part.outer, 2).ravel().tolist() for part in parts]
    filled = rle.merge(rle.frPyObjects(polygons, record.height, record.width))
    return {"area": float(rle.area(filled)), "segmentation": polygons}


def dump(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield a COCO dict as JSON text in pieces, one image or annotation a line.

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


def from_coco(
    data: Any, skipped: Counter[str] | None = None
) -> tuple[tuple[str, ...], list[LabelledImage]]:
    """Return class names in the order of their ids, and the images in the order of the file.

    Polygons and RLE become compressed RLE. A box that is absent is taken from the segmentation; one
    of negative size is turned the right way round. A category that no annotation has, and that
    others name as theirs (`supercategory`), is a heading and no class, as Roboflow writes one.

    Args:
        data: the content of the file.
        skipped: counts the masks that are passed over, because the image's size is not given, or is
            not theirs; the boxes count all the same.

    Raises:
        AutolabelError: a key is missing, an id leads nowhere or stands for two, a box is not
            finite, or a mask is damaged or larger than any image may be.
    """
    images = _entries(data, "images", "id", "file_name")
    known = _distinct("images", (image["id"] for image in images))
    categories = _entries(data, "categories", "id", "name")
    by_id = _names_by_id(categories)
    annotations = _entries(data, "annotations", "image_id", "category_id")
    _distinct("annotations", (row["id"] for row in annotations if _is_id(row.get("id"))))
    rows: dict[Any, list[dict[str, Any]]] = defaultdict(list)
    for row in annotations:
        for what, there in (("category", by_id.keys()), ("image", known)):
            if row[f"{what}_id"] not in there:
                raise AutolabelError(
                    f"{_called(row)} has {what}_id {row[f'{what}_id']!r}, which no {what} has",
                    hint=f"add the {what} to the file, or remove the annotation",
                )
        rows[row["image_id"]].append(row)
    numbers_first = sorted(
        by_id, key=lambda i: (False, i) if isinstance(i, int) else (True, str(i))
    )
    used = {by_id[row["category_id"]] for row in annotations}
    no_class = _headings(categories) - used
    names = tuple(dict.fromkeys(by_id[key] for key in numbers_first if by_id[key] not in no_class))
    passed = Counter[str]() if skipped is None else skipped
    return names, [_image(image, rows[image["id"]], by_id, passed) for image in images]


def _is_id(value: Any) -> bool:
    return value is not None and not isinstance(value, list | dict)


def _distinct(what: str, ids: Iterable[Any]) -> set[Any]:
    seen: set[Any] = set()
    for one in ids:
        if one in seen:
            raise AutolabelError(
                f"two {what} have the same id, {reprlib.repr(one)}",
                hint="number them anew, each with an id of its own",
            )
        seen.add(one)
    return seen


def _headings(categories: Iterable[dict[str, Any]]) -> set[str]:
    """Return the names that categories give as what another category is of."""
    above = ((c.get("supercategory"), str(c["name"])) for c in categories)
    return {named for named, name in above if isinstance(named, str) and named != name}


def _called(annotation: Mapping[str, Any]) -> str:
    return f"annotation {reprlib.repr(annotation.get('id'))}"


def _names_by_id(categories: Iterable[dict[str, Any]]) -> dict[Any, str]:
    names: dict[Any, str] = {}
    for c in categories:
        name = str(c["name"])
        if names.setdefault(c["id"], name) != name:
            raise AutolabelError(
                f"category id {c['id']!r} is both {names[c['id']]!r} and {name!r}",
                hint="give each category its own id",
            )
    return names


def _entries(data: Any, what: str, *keys: str) -> list[dict[str, Any]]:
    """Return one of the lists, each entry of which has these keys."""
    rows = data.get(what) if isinstance(data, dict) else None
    if not isinstance(rows, list):
        raise AutolabelError(f"there is no list {what!r} in the file", hint=_HINT)
    for i, row in enumerate(rows):
        missing = [k for k in keys if k not in row] if isinstance(row, dict) else list(keys)
        if missing:
            raise AutolabelError(f"entry {i} of {what!r} has no {missing[0]!r}", hint=_HINT)
        for key in keys:
            if isinstance(row[key], list | dict):
                raise AutolabelError(f"entry {i} of {what!r} has a wrong {key!r}", hint=_HINT)
    return rows


def _image(
    image: dict[str, Any],
    rows: Sequence[dict[str, Any]],
    by_id: Mapping[Any, str],
    skipped: Counter[str],
) -> LabelledImage:
    width, height = (whole_px(image.get(key)) for key in ("width", "height"))
    masks = [_mask(row, width, height, skipped) for row in rows]
    drawn = zip(rows, masks, strict=True)
    boxes = xywh_to_xyxy([_bbox(row, mask, width, height) for row, mask in drawn])
    objects = Objects.create(
        [by_id[row["category_id"]] for row in rows],
        [_score(row.get("score")) for row in rows],
        boxes,
        mask=masks,
    )
    crowd = np.array([bool(row.get("iscrowd")) for row in rows], dtype=bool)
    ignore = crowd | (box_areas(boxes) == 0)
    return LabelledImage(str(image["file_name"]), width, height, objects, ignore)


def _score(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and 0 <= value <= 1 else 1.0


def _bbox(row: Mapping[str, Any], mask: bytes | None, width: int, height: int) -> list[float]:
    given = row.get("bbox")
    if given:
        try:
            box = [float(v) for v in given]
        except (TypeError, ValueError, OverflowError):
            box = []
        if len(box) == 4 and all(abs(v) < FAR for v in box):
            return box
    elif mask is not None:
        return [float(v) for v in rle.toBbox({"size": [height, width], "counts": mask})]
    raise AutolabelError(
        f"{_called(row)} has no usable bbox: {reprlib.repr(given)}",
        hint="write bbox as [left, top, width, height] in pixels",
    )


def _mask(row: Mapping[str, Any], width: int, height: int, skipped: Counter[str]) -> bytes | None:
    """Return the mask as compressed RLE, or None where there is none of the image's size."""
    segmentation = row.get("segmentation")
    if not segmentation:
        return None
    if not width or not height:
        skipped["masks in images without width and height"] += 1
        return None
    try:
        if width * height > MAX_PIXELS:
            raise ValueError(f"a mask of {width} x {height} pixels is over {MAX_PIXELS}")
        if not isinstance(segmentation, dict):
            return covered(segmentation, height, width)
        counts = segmentation.get("counts")
        if counts and segmentation.get("size") == [height, width]:
            return from_counts(counts, height, width)
        skipped["masks of another size than their image"] += 1
        return None
    except ValueError as e:
        hint = "fix its segmentation, or take it away"
        raise AutolabelError(f"{_called(row)}: {e}", hint=hint) from None
