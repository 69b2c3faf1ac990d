"""Where people should look first: objects and images in the order in which a look helps most.

Nothing here asks a model: what the stages wrote down about each label is enough to order them.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from autolabel.errors import UsageError, suggest
from autolabel.review.class_statistics import ClassStatistics
from autolabel.review.disagreement import DISAGREE, UNCERTAIN, doubts, together
from autolabel.store import Layer, Workspace
from autolabel.types import Record

AUTO, RARE, RANDOM = "auto", "rare", "random"
HOWS = (AUTO, UNCERTAIN, RARE, DISAGREE, RANDOM)
"""Ways to order a queue; ``class=NAME`` is one more."""
CLASS = "class="
T = TypeVar("T")
_WORDS = 3  # reasons that one look gives


@dataclass(frozen=True)
class Look:
    """One place to look at.

    Attributes:
        image_id: of the image.
        uri: of the image, as in `Record`.
        index: the label's place in its image's row of the layer; None where the layer has none
            there and something seems to be missing.
        label: its class, or the class of what seems to be missing.
        xyxy: its box, absolute pixels of the upright image.
        keep: whether the layer keeps it; a rejected one may have been right.
        worth: 0 to 1, how likely a look finds an error; comparable within a queue alone.
        reasons: why, in words, the strongest first.
    """

    image_id: str
    uri: str
    index: int | None
    label: str
    xyxy: tuple[float, float, float, float]
    keep: bool
    worth: float
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class ImageLook:
    """One image to look at.

    Attributes:
        image_id, uri: of the image.
        worth: how many errors a look is expected to find in it; comparable within a queue alone.
        looks: the places in it, the worthiest first.
    """

    image_id: str
    uri: str
    worth: float
    looks: tuple[Look, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in words: the strongest reason of its worthiest places."""
        return tuple(f"{one.label}: {one.reasons[0]}" for one in self.looks[:_WORDS] if one.reasons)


def ranked(
    workspace: Workspace, layer: Layer, how: str = AUTO, limit: int | None = None, seed: int = 0
) -> list[Look]:
    """Return the labels of a layer to look at, the one where a look helps most first.

    Labels that people have decided on are left out.

    Args:
        workspace: of the layer.
        layer: the labels.
        how: one of `HOWS`, or ``class=NAME`` for the kept labels of a class.
        limit: at most so many; None for all.
        seed: decides the order of `random`, and between equals; the same gives the same order.

    Raises:
        UsageError: there is no such way, or no such class.
    """
    statistics = _statistics(layer, how)
    found = (look for record in _usable(layer) for look in looks_at(record, statistics, how))
    return _best(found, limit, lambda look: (-look.worth, _shuffled(look, seed)))


def ranked_images(
    workspace: Workspace, layer: Layer, how: str = AUTO, limit: int | None = None, seed: int = 0
) -> list[ImageLook]:
    """Return the images of a layer to look at, the one where a look helps most first.

    Images that people have decided on come last. Arguments and errors are those of `ranked`.
    """
    statistics = _statistics(layer, how)
    found = (_image_look(record, statistics, how) for record in _usable(layer))
    return _best(found, limit, lambda one: (-one.worth, _digest(one.image_id, seed)))


def looks_at(record: Record, statistics: ClassStatistics, how: str) -> list[Look]:
    """Return the looks that one image asks for, in the order of its labels."""
    objects = record.objects
    wanted = objects.keep & ~objects.locked
    if how.startswith(CLASS):
        wanted &= objects.label == how.removeprefix(CLASS)
    found = []
    for index in wanted.nonzero()[0].tolist():
        label = str(objects.label[index])
        against = doubts(objects, index, statistics)
        if how in (UNCERTAIN, DISAGREE):
            against = [one for one in against if one.kind == how]
        worth, words = together(against), [one.words for one in against[:_WORDS]]
        if how == RARE:
            share = statistics.kept[label] / max(sum(statistics.kept.values()), 1)
            worth = 1 - share * (1 - worth / 2)
            words = [f"{share:.1%} of the labels are of this class", *words]
        elif how == RANDOM:
            worth, words = 0.0, ["drawn at random"]
        x1, y1, x2, y2 = map(float, objects.xyxy[index])
        found.append(
            Look(
                record.image_id, record.uri, index, label, (x1, y1, x2, y2), True, worth,
                tuple(words[:_WORDS]),
            )
        )  # fmt: skip
    return found


def _image_look(record: Record, statistics: ClassStatistics, how: str) -> ImageLook:
    looks = sorted(looks_at(record, statistics, how), key=lambda one: (-one.worth, one.xyxy))
    return ImageLook(record.image_id, record.uri, sum(one.worth for one in looks), tuple(looks))


def _usable(layer: Layer) -> Iterator[Record]:
    return (record for record in layer.records() if record.usable)


def _statistics(layer: Layer, how: str) -> ClassStatistics:
    statistics = ClassStatistics.of(layer.records())
    if how.startswith(CLASS):
        name = how.removeprefix(CLASS)
        if name not in statistics.kept:
            raise UsageError(
                f"no label of {layer.name}/ is of class {name!r}",
                hint=suggest(name, sorted(statistics.kept), "its classes are"),
            )
    elif how not in HOWS:
        raise UsageError(
            f"there is no queue {how!r}", hint=f"the queues are: {', '.join(HOWS)}, class=NAME"
        )
    return statistics


def _best(found: Iterable[T], limit: int | None, key: Callable[[T], Any]) -> list[T]:
    return sorted(found, key=key) if limit is None else heapq.nsmallest(limit, found, key=key)


def _shuffled(look: Look, seed: int) -> str:
    return _digest(f"{look.image_id}/{look.index}/{look.label}/{look.xyxy}", seed)


def _digest(text: str, seed: int) -> str:
    return hashlib.sha256(f"{seed}/{text}".encode()).hexdigest()
