"""Labels of the workspace itself: on whole photos, and cut out, kept and rejected by reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.ops.arrays import Floats, Pixels
from autolabel.ops.crops import square_crop
from autolabel.report.layer_statistics import LayerStatistics, Sample
from autolabel.report.pictures.drawing import PALETTE, REJECTED, evidence, paint
from autolabel.report.pictures.image_budget import CELL, ImageBudget, Picture, resized
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.report.pictures.scenes import SceneShown, labelled
from autolabel.report.records import records_at
from autolabel.store import Layer
from autolabel.types import Record

CONTEXT = 0.3
"""Share of a box's longer side that is shown around it."""

MOST_GROUPS = 12
"""Classes, and rules, whose labels are shown."""


@dataclass(frozen=True)
class Cell:
    """One label, cut out."""

    picture: Picture
    label: str
    text: str
    photo: str


@dataclass(frozen=True)
class Group:
    """Labels of one class that were kept, or that one rule rejected, and how many there are."""

    name: str
    total: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Gallery:
    """Labels of the workspace as pictures; `unshown` counts groups beyond the most."""

    scenes: tuple[SceneShown, ...]
    kept: tuple[Group, ...]
    rejected: tuple[Group, ...]
    unshown: int


def gallery(
    budget: ImageBudget,
    photos: PhotoReader,
    layer: Layer,
    names: Sequence[str],
    statistics: LayerStatistics,
) -> Gallery:
    """Draw what was chosen when the layer was counted."""
    scenes = []
    for _, record in records_at(layer, statistics.images_shown):
        canvas = photos.canvas(record)
        panel = canvas and labelled(budget, canvas, record.objects.kept, names, "labels")
        if panel:
            scenes.append(SceneShown(record.uri, (panel,)))
    classes = [name for name in names if statistics.kept[name]]
    rules = statistics.rejected_by_rule
    keys = [("", name) for name in classes[:MOST_GROUPS]]
    keys += [(rule, "") for rule in list(rules)[:MOST_GROUPS]]
    shown = {key: statistics.shown.get(key, []) for key in keys}
    cells = _cells(budget, photos, layer, shown)
    return Gallery(
        scenes=tuple(scenes),
        kept=tuple(
            Group(name, statistics.kept[name], cells["", name]) for rule, name in keys if not rule
        ),
        rejected=tuple(Group(rule, rules[rule], cells[rule, ""]) for rule, _ in keys if rule),
        unshown=max(len(classes) - MOST_GROUPS, 0) + max(len(rules) - MOST_GROUPS, 0),
    )


Key = tuple[str, str]


def _cells(
    budget: ImageBudget, photos: PhotoReader, layer: Layer, samples: dict[Key, list[Sample]]
) -> dict[Key, tuple[Cell, ...]]:
    """Draw the crops of each group, best score first; each photo is read once."""
    owner = {sample: key for key, mine in samples.items() for sample in mine}
    found: dict[Key, list[tuple[float, Cell]]] = {key: [] for key in samples}
    for sample, record in records_at(layer, list(owner)):
        cell = _cell(budget, photos, record, sample.index)
        if cell is not None:
            found[owner[sample]].append((float(record.objects.score[sample.index]), cell))
    return {
        key: tuple(cell for _, cell in sorted(mine, key=lambda pair: -pair[0]))
        for key, mine in found.items()
    }


def _cell(budget: ImageBudget, photos: PhotoReader, record: Record, index: int) -> Cell | None:
    pixels = photos.pixels(record)
    if pixels is None:
        return None
    objects = record.objects
    kept = bool(objects.keep[index])
    colour = PALETTE[0] if kept else REJECTED
    picture = budget.add(cut_out(pixels, objects.xyxy[index].astype(np.float64), colour))
    if picture is None:
        return None
    text = ", ".join([f"score {objects.score[index]:.2f}", *evidence(objects.scores[index])])
    if not kept:
        rule, _, figure = str(objects.reason[index] or "rejected").partition(": ")
        text = figure or rule
    return Cell(picture, str(objects.label[index]), text, record.uri)


def cut_out(pixels: Pixels, box_xyxy: Floats, colour: str) -> Pixels:
    """Cut a square around a box out of a photo and draw the box, uint8 (CELL, CELL, 3).

    The square keeps to the photo where that is large enough.
    """
    wide, high = box_xyxy[2:] - box_xyxy[:2]
    side = max(np.ceil(max(wide, high) * (1 + 2 * CONTEXT)), 16.0)
    corner = (box_xyxy[:2] + box_xyxy[2:] - side) / 2
    limit = np.array([pixels.shape[1], pixels.shape[0]]) - side
    corner = np.round(np.where(limit > 0, np.clip(corner, 0, np.maximum(limit, 0)), limit / 2))
    around = [*corner.tolist(), *(corner + side).tolist()]
    crop = resized(square_crop(pixels, around, 0.0), (CELL, CELL))
    inner = (box_xyxy - np.tile(corner, 2)) * (CELL / side)
    return paint(crop, inner[None].astype(np.float32), [0], palette=(colour,), thickness=1)
