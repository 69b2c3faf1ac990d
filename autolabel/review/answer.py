"""What the page sends, and the decision that it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from autolabel.corrections.decisions import COMPLETE, MISSING, SKIPPED, Decision
from autolabel.review.items import IMAGE, PLACE, Box, Item, same_as
from autolabel.types import CONFIRMED, DELETED, DRAWN, MOVED, RELABELLED, Record

if TYPE_CHECKING:
    from autolabel.review.session import Session

REVIEW = "review"
"""`Decision.via` of what is said on the page."""

ACCEPT, REJECT, CHANGE, ADD, NOTE, PASS = "accept", "reject", "change", "add", "missing", "skip"
"""What a person says: it is right; it is wrong; it is this instead; here is one more; something is
missing; no answer."""

_LONGEST = 200  # characters of a name


def decided(decision: Decision) -> bool:
    """Tell whether a decision settles what was asked, or passes it over.

    What is added or noted beside it does not: a box that is drawn where one seemed to be missing
    says so by its `was`.
    """
    if decision.action == MISSING:
        return False
    return decision.action != DRAWN or decision.was is not None


@dataclass(frozen=True)
class Answer:
    """What the page sends.

    Attributes:
        id: 32 hexadecimal digits of the page's own, the same when it is sent again.
        key: of what was asked.
        action: one of `ACCEPT`, `REJECT`, `CHANGE`, `ADD`, `NOTE`, `PASS`.
        label: the class, for `CHANGE` and `ADD`.
        xyxy: the box, pixels, for `CHANGE` and `ADD`.
        who: the person, or None.
        seconds: how long the person looked, or None.
    """

    id: str
    key: str
    action: str
    label: str | None = None
    xyxy: Box | None = None
    who: str | None = None
    seconds: float | None = None

    @classmethod
    def parse(cls, data: Mapping[str, Any]) -> Answer:
        """Return an answer from JSON values.

        Raises:
            ValueError: one is of the wrong type or out of range.
        """
        texts = {name: data.get(name) for name in ("id", "key", "action", "label", "who")}
        for name, value in texts.items():
            optional = name in ("label", "who")
            if not (isinstance(value, str) and 0 < len(value) <= _LONGEST) and not (
                optional and value is None
            ):
                raise ValueError(f"{name} is not a text of at most {_LONGEST} characters")
        seconds, xyxy = data.get("seconds"), data.get("xyxy")
        if seconds is not None and not _is_number(seconds):
            raise ValueError("seconds is not a number")
        if xyxy is not None and not (
            isinstance(xyxy, list) and len(xyxy) == 4 and all(map(_is_number, xyxy))
        ):
            raise ValueError("xyxy is not four numbers")
        box: Any = None if xyxy is None else tuple(map(float, xyxy))
        kept: dict[str, Any] = {name: value for name, value in texts.items() if value is not None}
        spent = None if seconds is None else round(min(max(float(seconds), 0.0), 86400.0), 2)
        return cls(**kept, xyxy=box, seconds=spent)

    def decision(self, item: Item, record: Record, session: Session) -> Decision:
        """Return the decision on an item.

        Raises:
            ValueError: the action, class or box does not fit it.
        """
        said = self._said(item, record, session.classes, blind=session.audit is not None)
        return Decision(
            image_id=item.image_id, via=REVIEW, who=self.who or session.who,
            layer=session.layer.name, fingerprint=session.fingerprint, seconds=self.seconds,
            audit=session.audit, id=self.id, **said,
        )  # fmt: skip

    def _said(
        self, item: Item, record: Record, classes: tuple[str, ...], *, blind: bool
    ) -> dict[str, Any]:
        whole = item.kind == IMAGE
        if self.action == PASS:
            return {"action": SKIPPED, "was": item.was}
        if self.action in (ADD, NOTE):
            if blind and not whole:
                raise ValueError("in an audit, what is missing is looked for on whole images")
            about = {} if self.action == NOTE else self._object(item, record, classes)
            return {"action": MISSING if self.action == NOTE else DRAWN, **about}
        if whole:
            if self.action != ACCEPT:
                raise ValueError(f"{self.action!r} is not said of an image")
            return {"action": COMPLETE}
        as_it_was = {"label": item.label, "xyxy": item.xyxy, "was": item.was}
        if self.action == REJECT:
            return {"action": DELETED, **as_it_was}
        if self.action not in (ACCEPT, CHANGE):
            raise ValueError(f"there is no action {self.action!r}")
        now = as_it_was if self.action == ACCEPT else self._object(item, record, classes)
        return self._changed(item, record, {**as_it_was, **now})

    def _changed(self, item: Item, record: Record, now: dict[str, Any]) -> dict[str, Any]:
        """Return what an object has become, with its mask where its box is as it was."""
        if item.kind == PLACE:
            return {"action": DRAWN, **now}
        moved, relabelled = now["xyxy"] != item.xyxy, now["label"] != item.label
        action = RELABELLED if relabelled else MOVED if moved else CONFIRMED
        return {"action": action, **now, "mask": None if moved else mask_of(item, record)}

    def _object(self, item: Item, record: Record, classes: tuple[str, ...]) -> dict[str, Any]:
        """Return class and box, the latter within the image."""
        label, xyxy = self.label or item.label, self.xyxy or item.xyxy
        if label not in classes and label != item.label:
            raise ValueError(f"there is no class {label!r}")
        if xyxy is None:
            raise ValueError("xyxy is missing")
        return {"label": label, "xyxy": xyxy if xyxy == item.xyxy else _inside(xyxy, record)}


def mask_of(item: Item, record: Record) -> str | None:
    """Return the mask of an object as the layer has it, or None."""
    if item.xyxy is None:
        return None
    same = same_as(record.objects, item.label, item.xyxy)
    mask = next((one for one in record.objects.mask[same] if one is not None), None)
    return None if mask is None else bytes(mask).decode("ascii")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _inside(xyxy: Box, record: Record) -> Box:
    """Return a box within its image, as layers store numbers.

    Raises:
        ValueError: it is less than a pixel wide or high there.
    """
    x1, y1, x2, y2 = (float(np.float32(v)) for v in xyxy)
    x1, x2 = max(min(x1, x2), 0.0), min(max(x1, x2), float(record.width))
    y1, y2 = max(min(y1, y2), 0.0), min(max(y1, y2), float(record.height))
    if x2 - x1 < 1 or y2 - y1 < 1:
        raise ValueError("the box is less than a pixel wide or high")
    return x1, y1, x2, y2
