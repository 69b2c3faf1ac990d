"""Photos with their labels drawn: hand labels, labels and student side by side, and the worst."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from autolabel.metrics.confusion import box_overlap
from autolabel.ops.arrays import Bools, Pixels
from autolabel.report.pictures.drawing import PALETTE, REJECTED, masks_of, paint
from autolabel.report.pictures.image_budget import ImageBudget, Picture, fitted, resized
from autolabel.types import Objects, Record

FOUND, FALSE, MISSED = PALETTE[0], REJECTED, "#f0a800"
"""Colours of a prediction that is right, of one that is wrong, and of a hand label without one."""


@dataclass(frozen=True)
class Panel:
    """One picture of a scene, what is drawn on it, and how many labels of each class."""

    title: str
    picture: Picture
    text: str


@dataclass(frozen=True)
class SceneShown:
    """One photo, drawn in one or more ways."""

    name: str
    panels: tuple[Panel, ...]
    note: str = ""


@dataclass(frozen=True)
class Canvas:
    """A photo at the size of the page, and the factors from its own pixels to that."""

    record: Record
    pixels: Pixels

    @classmethod
    def of(cls, record: Record, pixels: Pixels) -> Canvas:
        """Scale a photo to the page."""
        height, width = pixels.shape[:2]
        return cls(record, resized(pixels, fitted(width, height)))

    @property
    def size_wh(self) -> tuple[int, int]:
        """Return width and height in the page."""
        return self.pixels.shape[1], self.pixels.shape[0]

    def boxes(self, objects: Objects) -> npt.NDArray[np.float32]:
        """Return boxes in the page's pixels."""
        (w, h), record = self.size_wh, self.record
        scale = np.array([w / record.width, h / record.height] * 2, np.float32)
        scaled: npt.NDArray[np.float32] = objects.xyxy * scale
        return scaled

    def masks(self, objects: Objects) -> Bools | None:
        """Return masks in the page's pixels."""
        size_wh = (self.record.width, self.record.height)
        return masks_of(objects.mask.tolist(), size_wh, self.size_wh)


def labelled(
    budget: ImageBudget, canvas: Canvas, objects: Objects, names: Sequence[str], title: str
) -> Panel | None:
    """Draw objects in the colours of their classes; None if the budget is spent."""
    objects = objects[np.isin(objects.label.astype(str), names)]
    ids = [names.index(label) for label in objects.label]
    scene = paint(canvas.pixels, canvas.boxes(objects), ids, masks=canvas.masks(objects))
    picture = budget.add(scene)
    return Panel(title, picture, counted(objects.label.tolist())) if picture else None


def counted(labels: Sequence[str]) -> str:
    """Write how many there are of each, the most first; a number and its name stay on one line.

    >>> counted(["dog", "cat", "cat"]).replace("\u00a0", " ")
    '2 × cat, 1 × dog'
    """
    counts = Counter(labels).most_common()
    return ", ".join(f"{n}\u00a0×\u00a0{label}" for label, n in counts) or "none"


def judged(
    budget: ImageBudget, canvas: Canvas, found: Objects, truth: Objects, ignore: Bools, iou: float
) -> Panel | None:
    """Draw right, wrong and missed objects differently."""
    right, missed = compared(found, truth, ignore, iou)
    wrong = ~right & ~_on_ignored(found, truth, ignore, iou)
    scene = canvas.pixels
    for objects, colour, thickness, corners in (
        (found[right], FOUND, 1, False),
        (found[wrong], FALSE, 3, False),
        (truth[missed], MISSED, 4, True),
    ):
        scene = paint(
            scene,
            canvas.boxes(objects),
            [0] * len(objects),
            palette=(colour,),
            thickness=thickness,
            corners=corners,
        )
    picture = budget.add(scene)
    if picture is None:
        return None
    text = f"{right.sum()} right; false: {counted(found[wrong].label.tolist())}; "
    return Panel("", picture, text + f"missed: {counted(truth[missed].label.tolist())}")


def compared(found: Objects, truth: Objects, ignore: Bools, iou: float) -> tuple[Bools, Bools]:
    """Tell which predictions find a hand label of their class, and which hand labels none finds.

    As COCO matches: the surest first, each with the best that is still free.
    """
    right = np.zeros(len(found), bool)
    missed = ~ignore.copy()
    overlaps = box_overlap(found, truth)
    for i in np.argsort(-found.score, kind="stable").tolist():
        free = missed & (truth.label == found.label[i])
        best = np.where(free, overlaps[i], -1.0)
        if len(best) and best.max() >= iou - 1e-9:
            right[i], missed[int(best.argmax())] = True, False
    return right, missed


def _on_ignored(found: Objects, truth: Objects, ignore: Bools, iou: float) -> Bools:
    """Tell which predictions lie on what counts neither as found nor as missed."""
    same = found.label[:, None] == truth.label[None, :]
    covered: Bools = ((box_overlap(found, truth) >= iou) & same & ignore[None, :]).any(axis=1)
    return covered


def at_least(objects: Objects, score: float) -> Objects:
    """Return the kept objects with that score or more."""
    return objects[objects.keep & (objects.score >= np.float32(score))]


def complete(panels: Iterator[Panel | None]) -> tuple[Panel, ...]:
    """Return the panels that found room."""
    return tuple(panel for panel in panels if panel is not None)
