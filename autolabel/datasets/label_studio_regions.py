"""Label Studio's regions and our objects: https://labelstud.io/guide/task_format.

A region is drawn in percent of the image's sides, but for a brush mask, which is pixels.
"""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autolabel.datasets.label_studio_brush import to_brush
from autolabel.datasets.label_studio_config import BRUSH, POLYGON, RECTANGLE, Labelling
from autolabel.datasets.label_studio_shapes import Read, reader_of
from autolabel.datasets.labelled import plain_score
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import order_corners
from autolabel.ops.polygons import one_ring, outlines
from autolabel.types import CONFIRMED, DRAWN, MOVED, Correction, Objects, Record

_ORIGINS = {"manual": DRAWN, "prediction": CONFIRMED, "prediction-changed": MOVED}
_DIGITS = 6
"""Of percents: a millionth of a percent of the longest side is far below a pixel."""
_HINT = "export it from Label Studio again, as JSON"


def to_regions(record: Record, labelling: Labelling) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Return the kept objects of an image as the regions of a prediction.

    A mask becomes what the labelling draws: a brush mask, else a polygon with seams between parts
    and holes, else its box; an object without one a rectangle, else a polygon of four corners.

    Returns:
        The regions, their ids the same in every run, and what is lost, how many objects by what.
    """
    kept, lost = record.objects.kept, Counter[str]()
    size = {"original_width": record.width, "original_height": record.height, "image_rotation": 0}
    regions: list[dict[str, Any]] = []
    for i, (label, score) in enumerate(zip(kept.label, kept.score, strict=True)):
        kind, value = _drawn(kept[i : i + 1], record, labelling)
        if not kind:
            lost["boxes"] += 1
            continue
        lost["masks"] += kept.mask[i] is not None and kind == RECTANGLE
        regions.append(
            {
                "id": f"object-{i}",
                "from_name": labelling.controls[kind].name,
                "to_name": labelling.image,
                "type": kind,
                **size,
                "value": {**value, kind: [label]},
                "score": plain_score(score),
            }
        )
    return regions, +lost


def _drawn(one: Objects, record: Record, labelling: Labelling) -> tuple[str | None, dict[str, Any]]:
    """Return how an object is drawn, and its value; None where nothing can draw it."""
    controls, counts = labelling.offering(one.label[0]), one.mask[0]
    width, height = record.width, record.height
    if counts is not None and BRUSH in controls:
        return BRUSH, {"format": "rle", "rle": list(to_brush(counts, height, width))}
    percent = np.array([100 / width, 100 / height])
    if counts is not None and POLYGON in controls and (parts := outlines(counts, height, width)):
        points = np.clip(one_ring(parts) * percent, 0, 100)
        return POLYGON, {"points": np.round(points, _DIGITS).tolist(), "closed": True}
    corners = one.xyxy[0].astype(np.float64).reshape(2, 2) * percent
    # Corners are rounded before sizes are taken, so that x + width is never beyond 100.
    (x1, y1), (x2, y2) = np.round(np.clip(corners, 0, 100), _DIGITS).tolist()
    if RECTANGLE in controls:
        sides = {"width": round(x2 - x1, _DIGITS), "height": round(y2 - y1, _DIGITS)}
        return RECTANGLE, {"x": x1, "y": y1, **sides, "rotation": 0}
    if POLYGON in controls:
        return POLYGON, {"points": [[x1, y1], [x2, y1], [x2, y2], [x1, y2]], "closed": True}
    return None, {}


@dataclass(frozen=True)
class Person:
    """Who annotated a task, and when, as far as an export says."""

    who: str | None = None
    when: str | None = None


@dataclass
class Region:
    """What an export says of one region; its results may be several, of the same id."""

    values: list[Mapping[str, Any]] = field(default_factory=list)
    kind: str = ""
    label: str | None = None
    more_labels: bool = False
    origin: str | None = None
    score: float = 1.0
    rotated: bool = False
    size_wh: tuple[int, int] = (0, 0)


def regions_of(results: object) -> list[Region]:
    """Return the regions behind the results of an annotation or a prediction, in their order.

    Raises:
        AutolabelError: it is not a list of results.
    """
    if not isinstance(results, list):
        raise AutolabelError("its result is not a list", hint=_HINT)
    found: dict[object, Region] = {}
    for i, row in enumerate(results):
        if not isinstance(row, dict):
            raise AutolabelError(f"result {i} is not a mapping", hint=_HINT)
        name = row.get("id")
        region = found.setdefault(name if isinstance(name, str) else i, Region())
        _add(region, row)
    return list(found.values())


def _add(region: Region, row: Mapping[str, Any]) -> None:
    value = row["value"] if isinstance(row.get("value"), dict) else {}
    region.values.append(value)
    region.kind = region.kind or _kind(row.get("type"), value)
    for key, names in value.items():
        named = isinstance(names, list) and names and isinstance(names[0], str)
        if key.endswith("labels") and named and region.label is None:
            region.label, region.more_labels = names[0], len(names) > 1
    if isinstance(row.get("origin"), str):
        region.origin = row["origin"]
    region.score = _score(row.get("score"), region.score)
    region.rotated |= bool(row.get("image_rotation"))
    width, height = (pixels(row.get(f"original_{side}")) for side in ("width", "height"))
    if width and height:
        region.size_wh = (width, height)


def _kind(given: object, value: Mapping[str, Any]) -> str:
    """Return the type of a region in words that are safe to show."""
    kind = given or next((key for key in value if key.endswith("labels")), None)
    safe = isinstance(kind, str) and kind.isidentifier() and len(kind) < 40
    return str(kind) if safe else "results of unknown type"


def _score(value: object, default: float) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
    return float(value) if good else default  # type: ignore[arg-type]


def pixels(value: object) -> int:
    """Return a side of an image, 0 where there is none."""
    whole = isinstance(value, int | float) and value == value and 0 < value < 1_000_000
    return int(value) if whole else 0  # type: ignore[call-overload]


def to_objects(
    regions: Sequence[Region],
    size_wh: tuple[int, int],
    person: Person | None,
    skipped: Counter[str],
) -> Objects:
    """Return regions as objects, with what a person did where it was one.

    Args:
        regions: of one annotation or prediction.
        size_wh: of the image where they do not say, pixels; 0 where nothing tells.
        person: who annotated; None where it is a model's prediction.
        skipped: counts what is no object.

    Raises:
        AutolabelError: a region is damaged.
    """
    rows = [row for one in regions if (row := _object(one, size_wh, skipped)) is not None]
    corrections = [None if person is None else _corrected(region, person) for region, *_ in rows]
    return Objects.create(
        [region.label or "" for region, *_ in rows],
        [region.score if person is None else 1.0 for region, *_ in rows],
        order_corners([box for _, box, _ in rows]),
        mask=[mask for *_, mask in rows],
        correction=corrections,
    )


def _corrected(region: Region, person: Person) -> Correction:
    """Return what a person did; where no origin says it, they let it stand."""
    return Correction(_ORIGINS.get(region.origin or "", CONFIRMED), person.who, person.when)


def _object(
    region: Region, size_wh: tuple[int, int], skipped: Counter[str]
) -> tuple[Region, list[float], bytes | None] | None:
    """Return box and mask of a region; None, counted, where it is none that we can read."""
    width, height = region.size_wh if all(region.size_wh) else size_wh
    drawn = next(_shapes(region), None)
    reason = (
        region.kind if drawn is None
        else "regions without a label" if region.label is None
        else "regions of a turned view" if region.rotated
        else "regions of an image of unknown size" if not (width and height)
        else None
    )  # fmt: skip
    if drawn is None or reason is not None:
        skipped[str(reason)] += 1
        return None
    skipped["further labels of a region"] += region.more_labels
    read, value = drawn
    try:
        found = read(value, width, height)
    except (KeyError, TypeError, ValueError, OverflowError) as e:
        raise AutolabelError(
            f"a region of {reprlib.repr(region.label)} is damaged: {str(e)[:120]}", hint=_HINT
        ) from None
    if found is None:
        skipped["regions without an area"] += 1
        return None
    return region, *found


def _shapes(region: Region) -> Iterator[tuple[Read, Mapping[str, Any]]]:
    """Yield each value of a region that has a shape, and what reads it."""
    for value in region.values:
        if (read := reader_of(value)) is not None:
            yield read, value
