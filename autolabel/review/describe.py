"""What the page is told of what it shows, as JSON values."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import numpy as np

from autolabel.corrections.decisions import Decision
from autolabel.corrections.fold import fold
from autolabel.corrections.overlay import overlay
from autolabel.ops.arrays import Floats
from autolabel.ops.polygons import outlines
from autolabel.review.items import IMAGE, Box, Item, same_as
from autolabel.types import Objects, Record

MOST_OTHERS = 1000
"""Boxes of other objects that are drawn on one image."""
SURROUNDINGS = 2.4
"""The sides of what is shown around an object, by its own longer side."""
LEAST_SIDE = 96
"""Pixels; a tiny object is shown with more around it."""


def window_of(item: Item, record: Record) -> Box:
    """Return what is shown of an image for an item: whole pixels, xyxy, in the image.

    A square around the object with its surroundings, as far as the image reaches.
    """
    if item.xyxy is None:
        return 0, 0, record.width, record.height
    x1, y1, x2, y2 = item.xyxy
    side = max(SURROUNDINGS * max(x2 - x1, y2 - y1), LEAST_SIDE)
    left, right = _within((x1 + x2) / 2, side, record.width)
    top, bottom = _within((y1 + y2) / 2, side, record.height)
    return left, top, right, bottom


def _within(centre: float, side: float, whole: int) -> tuple[int, int]:
    """Return the ends of a stretch that is moved into the image, or is all of it."""
    length = min(round(side), whole)
    start = min(max(round(centre - side / 2), 0), whole - length)
    return start, start + length


def described(
    item: Item, record: Record, decisions: Sequence[Decision], *, blind: bool
) -> dict[str, Any]:
    """Return what the page shows of an item.

    Args:
        item: what is asked.
        record: its image.
        decisions: the standing ones about the image, in their order.
        blind: whether scores and reasons stay hidden, as in an audit.
    """
    shown: dict[str, Any] = {
        "key": item.key,
        "kind": item.kind,
        "image_id": record.image_id,
        "name": PurePosixPath(record.uri).name,
        "width": record.width,
        "height": record.height,
        "window": window_of(item, record),
        "label": item.label,
        "xyxy": item.xyxy,
        "outlines": [],
        "others": _others(item, record, decisions),
        "noted": sum(one.action == "missing" for one in decisions),
    }
    index = _index(item, record.objects)
    if index is not None:
        shown["outlines"] = _outlines(record.objects.mask[index], record)
    if not blind:
        shown |= {"reasons": list(item.reasons), **_evidence(record.objects, index)}
    return shown


def _index(item: Item, objects: Objects) -> int | None:
    if item.kind == IMAGE or item.xyxy is None:
        return None
    same = same_as(objects, item.label, item.xyxy)
    found = np.flatnonzero(same)
    return int(found[0]) if len(found) else None


def _evidence(objects: Objects, index: int | None) -> dict[str, Any]:
    if index is None:
        return {}
    scores = {name: round(float(score), 3) for name, score in objects.scores[index].items()}
    return {
        "score": round(float(objects.score[index]), 3),
        "scores": {name: scores[name] for name in sorted(scores) if name != "detector"},
        "prompt": objects.prompt[index],
        "rejected": objects.reason[index],
    }


def _outlines(mask: bytes | None, record: Record) -> list[list[list[float]]]:
    """Return the rings of a mask, holes among them."""
    if mask is None:
        return []
    parts = outlines(mask, record.height, record.width)
    return [_ring(ring) for part in parts for ring in (part.outer, *part.holes)]


def _ring(points: Floats) -> list[list[float]]:
    rounded: list[list[float]] = np.round(points, 1).tolist()
    return rounded


def _others(item: Item, record: Record, decisions: Sequence[Decision]) -> list[dict[str, Any]]:
    """Return the other objects of an image as people have left them so far."""
    people = fold(decisions).get(record.image_id, Objects.empty())
    now = overlay(record.objects, people).kept if len(people) else record.objects.kept
    if item.xyxy is not None:
        now = now[~same_as(now, item.label, item.xyxy)]
    rest = now[:MOST_OTHERS]
    pairs = zip(rest.label.tolist(), rest.xyxy.tolist(), strict=True)
    return [{"label": label, "xyxy": xyxy} for label, xyxy in pairs]


def told(decision: Decision) -> dict[str, Any]:
    """Return what the page says of a decision."""
    return {
        "id": decision.id,
        "action": decision.action,
        "label": decision.label,
        "who": decision.who,
        "at": decision.at,
    }
