"""What people's decisions add up to: for each image, the objects as people left them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from autolabel.corrections.decisions import MISSING, SKIPPED, UNDONE, Decision
from autolabel.types import ACTIONS, CONFIRMED, DELETED, DRAWN, Correction, Objects

SAME_PX = 0.01
"""Pixels that the corners of a box may be off for it to be the same box."""

Box = tuple[float, ...]


@dataclass(frozen=True)
class _Object:
    label: str
    xyxy: Box
    mask: bytes | None
    correction: Correction

    def is_at(self, label: str, xyxy: Box) -> bool:
        corners = zip(self.xyxy, xyxy, strict=True)
        return self.label == label and all(abs(a - b) <= SAME_PX for a, b in corners)


@dataclass
class _Image:
    """The objects of one image: those that there are, and those that people took away."""

    there: list[_Object] = field(default_factory=list)
    gone: list[_Object] = field(default_factory=list)

    def take_away(self, label: str, xyxy: Box, correction: Correction) -> None:
        self.there = [one for one in self.there if not one.is_at(label, xyxy)]
        self.gone = [one for one in self.gone if not one.is_at(label, xyxy)]
        self.gone.append(_Object(label, xyxy, None, correction))

    def add(self, label: str, xyxy: Box, mask: bytes | None, correction: Correction) -> None:
        self.there = [one for one in self.there if not one.is_at(label, xyxy)]
        self.gone = [one for one in self.gone if not one.is_at(label, xyxy)]
        self.there.append(_Object(label, xyxy, mask, correction))


def standing(decisions: Iterable[Decision]) -> list[Decision]:
    """Return the decisions that were not taken back, in their order, without those that say so."""
    decisions = list(decisions)
    undone = {one.undoes for one in decisions if one.action == UNDONE}
    return [one for one in decisions if one.id not in undone and one.action != UNDONE]


def fold(decisions: Iterable[Decision]) -> dict[str, Objects]:
    """Return what people left of each image that they changed or confirmed something in.

    Args:
        decisions: in their order.

    Returns:
        image id -> locked objects, score 1. Those with `keep` are there. The others are what
        people deleted, or where an object was before they moved or relabelled it; the correction
        says which, and a machine's box there is not to come back.

    Examples:
        >>> one = Decision(image_id="a", action="deleted", via="review", label="cat",
        ...                xyxy=(0, 0, 4, 4))
        >>> fold([one])["a"].keep.tolist()
        [False]
    """
    images: dict[str, _Image] = defaultdict(_Image)
    for one in standing(decisions):
        if one.action not in ACTIONS:
            continue
        if one.label is None or one.xyxy is None:  # `Decision` refuses it
            raise ValueError("a decision about no object")
        image, said = images[one.image_id], Correction(one.action, one.who, one.when or one.at)
        was = one.was or {"label": one.label, "xyxy": one.xyxy}
        before = str(was["label"]), tuple(map(float, was["xyxy"]))
        if one.action not in (DRAWN, CONFIRMED):
            image.take_away(*before, said)
        if one.action != DELETED:
            mask = None if one.mask is None else one.mask.encode("ascii")
            image.add(one.label, one.xyxy, mask, said)
    return {image_id: _objects(image) for image_id, image in images.items()}


def _objects(image: _Image) -> Objects:
    every = image.there + image.gone
    return Objects.create(
        [one.label for one in every],
        [1.0] * len(every),
        [one.xyxy for one in every],
        mask=[one.mask for one in every],
        keep=[True] * len(image.there) + [False] * len(image.gone),
        reason=[None] * len(image.there) + [f"person: {g.correction.action}" for g in image.gone],
        correction=[one.correction for one in every],
    )


def remarks(decisions: Iterable[Decision]) -> Mapping[str, frozenset[str]]:
    """Return `missing` and `skipped` -> the images that stand so."""
    said: dict[str, set[str]] = {MISSING: set(), SKIPPED: set()}
    for one in standing(decisions):
        if one.action in said:
            said[one.action].add(one.image_id)
    return {action: frozenset(images) for action, images in said.items()}
