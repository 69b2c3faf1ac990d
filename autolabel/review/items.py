"""What people are asked about, one after the other: an object, a place, a whole image."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autolabel.corrections.decisions import Decision
from autolabel.ops.arrays import Bools
from autolabel.review.queue import ranked
from autolabel.store import Layer, Workspace
from autolabel.types import CONFIRMED, DELETED, Objects

Box = tuple[float, float, float, float]

OBJECT, PLACE, IMAGE = "object", "place", "image"
"""Values of `Item.kind`: a label of the layer; a place where one seems to be missing; an image."""


@dataclass(frozen=True)
class Item:
    """One thing that a person judges.

    Attributes:
        kind: `OBJECT`, `PLACE` or `IMAGE`.
        image_id: of the image.
        label: class of the object, empty for an image.
        xyxy: its box, pixels; None for an image.
        reasons: why it is worth a look.
    """

    kind: str
    image_id: str
    label: str = ""
    xyxy: Box | None = None
    reasons: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Its name: the same for the same class and box in the same image, whatever the layer."""
        return key_of(self.image_id, self.label, self.xyxy)

    @property
    def was(self) -> dict[str, Any] | None:
        """Return the object as a decision about it says what it was."""
        return None if self.xyxy is None else {"label": self.label, "xyxy": list(self.xyxy)}


def key_of(image_id: str, label: str, xyxy: Iterable[float] | None) -> str:
    """Return 16 hexadecimal digits that name what is judged."""
    corners = None if xyxy is None else [float(v) for v in xyxy]
    return hashlib.sha256(repr((image_id, label, corners)).encode()).hexdigest()[:16]


def judged_by(decision: Decision) -> str:
    """Return the key of what a decision is about; for one about an image that of the image."""
    was: Mapping[str, Any] = {"label": "", "xyxy": None}
    if decision.action in (CONFIRMED, DELETED):
        was = {"label": decision.label, "xyxy": decision.xyxy}
    was = decision.was or was
    return key_of(decision.image_id, str(was["label"]), was["xyxy"])


def queued(
    workspace: Workspace, layer: Layer, how: str, limit: int | None, seed: int
) -> list[Item]:
    """Return the labels, and places without one, that are worth a look, the worthiest first.

    Raises:
        UsageError: there is no such queue or class.
    """
    return [
        Item(PLACE if look.index is None else OBJECT, look.image_id, look.label, look.xyxy,
             tuple(look.reasons))
        for look in ranked(workspace, layer, how, limit, seed)
    ]  # fmt: skip


def same_as(objects: Objects, label: str, xyxy: Box) -> Bools:
    """Tell which objects have this class and just this box, bool (n,)."""
    there: Bools = (objects.xyxy == np.array(xyxy, np.float32)).all(axis=1)
    same: Bools = there & (objects.label == label)
    return same
