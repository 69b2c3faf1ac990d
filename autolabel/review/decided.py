"""What people have said already, so that nobody is asked twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from autolabel.corrections.decisions import MISSING, SKIPPED, Decision, Decisions
from autolabel.corrections.fold import standing
from autolabel.store import Workspace
from autolabel.types import ACTIONS, DRAWN

_Key = tuple[str, str, tuple[float, ...]]


@dataclass(frozen=True)
class Decided:
    """What people have decided.

    Attributes:
        places: image, class and box of what was judged, and of what it became.
        skipped: image, class and box of what somebody skipped; empty class and box for an image.
        images: those with a decision on one of their objects.
        missing: those in which somebody missed something and nobody has drawn it since.
    """

    places: frozenset[_Key]
    skipped: frozenset[_Key]
    images: frozenset[str]
    missing: frozenset[str]

    @classmethod
    def read(cls, workspace: Workspace) -> Decided:
        """Read the decisions of a workspace.

        Raises:
            AutolabelError: they cannot be read.
        """
        places: set[_Key] = set()
        skipped: set[_Key] = set()
        images: set[str] = set()
        missing: set[str] = set()
        for one in standing(Decisions(workspace.path).read()):
            if one.action == SKIPPED:
                skipped.update(_keys(one) or [(one.image_id, "", ())])
            elif one.action == MISSING:
                missing.add(one.image_id)
            elif one.action in ACTIONS:
                places.update(_keys(one))
                images.add(one.image_id)
                if one.action == DRAWN:
                    missing.discard(one.image_id)
        return cls(frozenset(places), frozenset(skipped), frozenset(images), frozenset(missing))

    def has(self, image_id: str, label: str, xyxy: Sequence[float]) -> bool:
        """Say whether people have decided on an object."""
        return place(image_id, label, xyxy) in self.places


def place(image_id: str, label: str, xyxy: Sequence[float]) -> _Key:
    """Return what an object is known by: boxes a tenth of a pixel apart are one."""
    return image_id, label, tuple(round(float(side), 1) for side in xyxy)


def _keys(one: Decision) -> list[_Key]:
    found = []
    if one.label is not None and one.xyxy is not None:
        found.append(place(one.image_id, one.label, one.xyxy))
    if one.was is not None:
        found.append(place(one.image_id, str(one.was["label"]), one.was["xyxy"]))
    return found
