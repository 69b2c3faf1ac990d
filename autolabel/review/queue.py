"""Where people should look first: objects and images in the order in which a look helps most.

Nothing here asks a model: what the stages wrote down about each label, and what a student found in
the pool where one looked (`autolabel.review.student`), is enough to order them.
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from autolabel.errors import UsageError, suggest
from autolabel.ops.arrays import Vectors
from autolabel.review.class_statistics import ClassStatistics
from autolabel.review.decided import Decided, place
from autolabel.review.disagreement import DISAGREE, UNCERTAIN, Doubt, ImageDoubts, together
from autolabel.review.diversity import diverse
from autolabel.review.student import StudentView, student_view
from autolabel.review.vectors import Appearance, stacked
from autolabel.store import Layer, Workspace
from autolabel.types import Record

AUTO, RARE, RANDOM = "auto", "rare", "random"
HOWS = (AUTO, UNCERTAIN, RARE, DISAGREE, RANDOM)
"""Ways to order a queue; ``class=NAME`` is one more."""
ASKS_STUDENT = (AUTO, DISAGREE)
"""Those for which it is worth the time to let a student look first."""
CLASS = "class="
_WORDS = 3  # reasons that one look gives
_PLACES = 5  # places that one image names
_POOL = 10  # times as many as are asked for are looked at for diversity
_MISSED = "a person says that something is missing here"


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
        looks: up to five places in it, the worthiest first.
        missing: whether a person said that something has no label here, and nobody drew it since.
    """

    image_id: str
    uri: str
    worth: float
    looks: tuple[Look, ...]

    missing: bool = False

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why, in words: the strongest reason of its worthiest places."""
        words = [f"{one.label}: {one.reasons[0]}" for one in self.looks if one.reasons]
        return tuple([_MISSED, *words][not self.missing :][:_WORDS])


def ranked(
    workspace: Workspace, layer: Layer, how: str = AUTO, limit: int | None = None, seed: int = 0
) -> list[Look]:
    """Return the places of a layer to look at, the one where a look helps most first.

    `uncertain` orders kept labels by how low their score is for their class; `disagree` what other
    witnesses contradict: kept labels, rejected ones, and what only a student finds; `rare` kept
    labels by how few their class has; `class=NAME` those of a class by all that is against them;
    `random` is a sample of the kept labels; `auto` takes everything together.

    What people have decided on is left out; what they skipped comes last. Of many that look alike
    one comes early, where a limit is given.

    Args:
        workspace: of the layer.
        layer: the labels.
        how: one of `HOWS`, or ``class=NAME``.
        limit: at most so many; None for all.
        seed: decides the order of `random`, and between equals; the same gives the same order.

    Raises:
        UsageError: there is no such way, or no such class.
        AutolabelError: a layer or the decisions cannot be read.
    """
    queue = _Queue(workspace, layer, how, seed)
    return queue.first(queue.looks(), limit)


def ranked_images(
    workspace: Workspace, layer: Layer, how: str = AUTO, limit: int | None = None, seed: int = 0
) -> list[ImageLook]:
    """Return the images of a layer to look at, the one where a look helps most first.

    An image is worth what its places are worth together: about as many errors as it holds. Those
    in which people decided on something come last, but for those in which they miss something,
    which come first. Arguments and errors are those of `ranked`.
    """
    queue = _Queue(workspace, layer, how, seed)
    return queue.first(queue.images(), limit)


T = TypeVar("T", Look, ImageLook)


@dataclass(frozen=True)
class _Candidate(Generic[T]):
    """What may be looked at: later tiers come last, of equal worth the lower digest first."""

    item: T
    tier: int
    digest: str
    vector: Vectors

    @property
    def key(self) -> tuple[int, float, str]:
        return self.tier, -self.item.worth, self.digest


class _Queue:
    """One pass over a layer, in one order."""

    def __init__(self, workspace: Workspace, layer: Layer, how: str, seed: int) -> None:
        self.layer, self.how, self.seed = layer, how, seed
        self.statistics = ClassStatistics.of(layer.records())
        _check(how, layer, self.statistics)
        self.decided = Decided.read(workspace)
        self.student: StudentView | None = student_view(workspace)
        self.appearance = Appearance(workspace)

    def first(self, found: Iterator[_Candidate[T]], limit: int | None) -> list[T]:
        """Return the items of the first candidates."""
        if limit is None:
            return [one.item for one in sorted(found, key=_key)]
        if self.how == RANDOM:
            return [one.item for one in _smallest(limit, found)]
        best = _smallest(_POOL * limit, found)
        front = [one for one in best if one.tier == best[0].tier]
        worth = np.array([one.item.worth for one in front])
        order = diverse(worth, stacked([one.vector for one in front]), limit)
        chosen = [front[i] for i in order] + best[len(front) :]
        return [one.item for one in chosen[:limit]]

    def looks(self) -> Iterator[_Candidate[Look]]:
        for record, image, crops, doubts in self._records():
            for one in self._places(record, doubts):
                where = place(one.image_id, one.label, one.xyxy)
                digest = self._digest(f"{where}")
                vector = image if one.index is None else crops[one.index]
                yield _Candidate(one, int(where in self.decided.skipped), digest, vector)

    def images(self) -> Iterator[_Candidate[ImageLook]]:
        for record, image, _, doubts in self._records():
            name, looks = record.image_id, self._places(record, doubts)
            looks.sort(key=lambda one: (-one.worth, one.xyxy))
            missing = name in self.decided.missing
            worth = 0.0 if self.how == RANDOM else sum(one.worth for one in looks)
            item = ImageLook(name, record.uri, worth, tuple(looks[:_PLACES]), missing)
            tier = -1 if missing else int(name in self.decided.images)
            yield _Candidate(item, tier, self._digest(name), image)

    def _records(self) -> Iterator[tuple[Record, Vectors, Vectors, ImageDoubts]]:
        for index in self.layer.shards():
            records = self.layer.read(index)
            predicted = self.student.of_shard(index) if self.student else {}
            seen = self.appearance.of_shard(index, records)
            for record, (image, crops) in zip(records, seen, strict=True):
                if record.usable:
                    found = predicted.get(record.image_id)
                    sure = self.student.threshold if self.student else 1.0
                    doubts = ImageDoubts(record.objects, self.statistics, found, sure)
                    yield record, image, crops, doubts

    def _places(self, record: Record, doubts: ImageDoubts) -> list[Look]:
        """Return the looks that one image asks for."""
        objects, found = record.objects, []
        for index in np.flatnonzero(~objects.locked).tolist():
            label, keep = str(objects.label[index]), bool(objects.keep[index])
            judged = self._judged(doubts, index, label, keep)
            if judged is not None:
                found.append(_look(record, index, label, objects.xyxy[index], keep, *judged))
        if self.how in (AUTO, DISAGREE):
            for at, doubt in doubts.overlooked():
                label = str(doubts.predicted.label[at])
                found.append(
                    _look(record, None, label, doubts.predicted.xyxy[at], False, doubt.weight,
                          (doubt.words,))
                )  # fmt: skip
        return [one for one in found if not self.decided.has(one.image_id, one.label, one.xyxy)]

    def _judged(
        self, doubts: ImageDoubts, index: int, label: str, keep: bool
    ) -> tuple[float, tuple[str, ...]] | None:
        """Return worth and reasons of a look at an object; None where nobody need look."""
        how = self.how
        if not keep:
            against = doubts.of_rejected(index) if how in (AUTO, DISAGREE) else []
            return _summed(against) if against else None
        if how.startswith(CLASS) and label != how.removeprefix(CLASS):
            return None
        if how == RANDOM:
            return 0.0, ("drawn at random",)
        against = doubts.of_kept(index)
        if how in (UNCERTAIN, DISAGREE):
            return _summed([one for one in against if one.kind == how])
        worth, words = _summed(against)
        if how == RARE:
            count = self.statistics.kept[label]
            share = count / max(sum(self.statistics.kept.values()), 1)
            worth = 1 - share * (1 - worth / 2)
            words = (f"one of {count} labels of its class ({share:.1%})", *words)
        return worth, words[:_WORDS]

    def _digest(self, text: str) -> str:
        return hashlib.sha256(f"{self.seed}/{text}".encode()).hexdigest()


def _look(
    record: Record, index: int | None, label: str, xyxy: Vectors, keep: bool, worth: float,
    reasons: tuple[str, ...],
) -> Look:  # fmt: skip
    x1, y1, x2, y2 = map(float, xyxy)
    box = (x1, y1, x2, y2)
    return Look(record.image_id, record.uri, index, label, box, keep, worth, reasons)


def _summed(against: list[Doubt]) -> tuple[float, tuple[str, ...]]:
    return together(against), tuple(one.words for one in against[:_WORDS])


def _check(how: str, layer: Layer, statistics: ClassStatistics) -> None:
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


def _key(one: _Candidate[T]) -> tuple[int, float, str]:
    return one.key


def _smallest(most: int, found: Iterable[_Candidate[T]]) -> list[_Candidate[T]]:
    return heapq.nsmallest(most, found, key=_key)
