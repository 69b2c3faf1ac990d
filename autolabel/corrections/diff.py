"""What is different between two sets of labels of the same images."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from autolabel.corrections.matching import SAME_PX, Matches, match_objects
from autolabel.datasets.ground_truth import GroundTruth
from autolabel.datasets.truth_match import match_truth
from autolabel.store import Layer
from autolabel.types import Objects, Record

SAME, MOVED, RELABELLED, ADDED, REMOVED = "same", "moved", "relabelled", "added", "removed"
KINDS = (SAME, MOVED, RELABELLED, ADDED, REMOVED)
"""What becomes of an object, as in `autolabel.corrections.matching.Matches`."""

NOT_LOOKED_AT = "nothing says that anybody looked at it"


@dataclass(frozen=True, eq=False)
class ImageDiff:
    """What is different in one image.

    Attributes:
        record: the image, without objects.
        before, after: the kept objects of both sides, without masks.
        matches: which are which.
    """

    record: Record
    before: Objects
    after: Objects
    matches: Matches

    @property
    def changes(self) -> int:
        """How many objects are not as they were."""
        found = self.matches
        pairs = len(found.moved) + len(found.relabelled)
        return pairs + len(found.added) + len(found.removed)

    def as_json(self) -> dict[str, Any]:
        """Return every object that is not as it was, for JSON."""
        found, old, new = self.matches, self.before, self.after
        return {
            "image_id": self.record.image_id,
            "uri": self.record.uri,
            SAME: len(found.same),
            MOVED: [
                {"label": old.label[i], "from": _box(old, i), "to": _box(new, j)}
                for i, j in found.moved
            ],
            RELABELLED: [
                {"from": _object(old, i), "to": _object(new, j)} for i, j in found.relabelled
            ],
            ADDED: [_object(new, j) for j in found.added],
            REMOVED: [_object(old, i) for i in found.removed],
        }


@dataclass(eq=False)
class LabelDiff:
    """What is different between two sets of labels.

    Attributes:
        same_px: how far corners of a box that is as it was may be off.
        images: how many images were compared.
        classes: class -> how many of its objects became what; what was relabelled counts under
            the class that it had.
        relabelled: class before and after -> how many.
        changed: the images in which anything is different, in the order of the layer.
        only_in_a: images of the first side alone.
        only_in_b: images of the second side that cannot be compared, with the reason.
    """

    same_px: float = SAME_PX
    images: int = 0
    classes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    relabelled: Counter[tuple[str, str]] = field(default_factory=Counter)
    changed: list[ImageDiff] = field(default_factory=list)
    only_in_a: list[str] = field(default_factory=list)
    only_in_b: list[tuple[str, str]] = field(default_factory=list)

    @property
    def totals(self) -> Counter[str]:
        """How many objects became what."""
        return sum(self.classes.values(), Counter())

    def add(self, record: Record, before: Objects, after: Objects) -> None:
        """Compare one image's kept objects."""
        found = match_objects(before, after, (record.width, record.height), self.same_px)
        self.images += 1
        for kind, pairs in ((SAME, found.same), (MOVED, found.moved)):
            for i, _ in pairs:
                self.classes[before.label[i]][kind] += 1
        for i, j in found.relabelled:
            self.classes[before.label[i]][RELABELLED] += 1
            self.relabelled[before.label[i], after.label[j]] += 1
        for i in found.removed:
            self.classes[before.label[i]][REMOVED] += 1
        for j in found.added:
            self.classes[after.label[j]][ADDED] += 1
        if found.changed:
            image = replace(record, objects=Objects.empty())
            self.changed.append(ImageDiff(image, _boxes_of(before), _boxes_of(after), found))

    def as_json(self) -> dict[str, Any]:
        """Return all of it, for JSON."""
        totals = self.totals
        return {
            "images": self.images,
            "changed_images": len(self.changed),
            "totals": {kind: totals[kind] for kind in KINDS},
            "classes": {
                name: {kind: counts[kind] for kind in KINDS}
                for name, counts in sorted(self.classes.items())
            },
            "relabelled": [
                {"from": old, "to": new, "count": count}
                for (old, new), count in self.relabelled.most_common()
            ],
            "changes": [one.as_json() for one in self.changed],
            "only_in_a": self.only_in_a,
            "only_in_b": [{"name": name, "reason": why} for name, why in self.only_in_b],
        }


def diff_layers(a: Layer, b: Layer, same_px: float = SAME_PX) -> LabelDiff:
    """Compare the kept labels of two layers of one workspace, a shard of each in memory at a time.

    Raises:
        AutolabelError: a shard cannot be read.
    """
    found = LabelDiff(same_px)
    shards_b = set(b.shards())
    for index in sorted({*a.shards(), *shards_b}):
        after = {r.image_id: r for r in (b.read(index) if index in shards_b else [])}
        for record in a.read(index) if index in set(a.shards()) else []:
            other = after.pop(record.image_id, None)
            if other is None:
                found.only_in_a += [record.uri] if record.usable else []
            elif record.usable or other.usable:
                found.add(record, _kept(record), _kept(other))
        found.only_in_b += [(r.uri, "not in the layer") for r in after.values() if r.usable]
    return found


def diff_truth(a: Layer, truth: GroundTruth, same_px: float = SAME_PX) -> LabelDiff:
    """Compare the kept labels of a layer with labels that were read from files.

    Images match by their content, else by name, as `match_truth` has it.

    Raises:
        AutolabelError: a shard cannot be read.
    """
    found = LabelDiff(same_px)
    matched = match_truth(_without_objects(a), truth)
    found.only_in_b += [(one.name, one.reason) for one in matched.unmatched]
    by_id = {}
    for record, image in matched.pairs:
        if image.looked_at:
            by_id[record.image_id] = image.objects
        else:
            found.only_in_b.append((image.name, NOT_LOOKED_AT))
    for record in a.records():
        if record.usable and record.image_id in by_id:
            found.add(record, record.objects.kept, by_id[record.image_id])
        elif record.usable:
            found.only_in_a.append(record.uri)
    return found


def _without_objects(layer: Layer) -> Iterable[Record]:
    names = ["image_id", "uri", "width", "height", "split", "error"]
    for index in layer.shards():
        yield from (Record(**row) for row in layer.table(index, names).to_pylist())


def _kept(record: Record) -> Objects:
    return record.objects.kept if record.usable else Objects.empty()


def _boxes_of(objects: Objects) -> Objects:
    return Objects.create(objects.label.tolist(), objects.score, objects.xyxy)


def _object(objects: Objects, i: int) -> dict[str, Any]:
    return {"label": objects.label[i], "xyxy": _box(objects, i)}


def _box(objects: Objects, i: int) -> list[float]:
    return [round(float(side), 2) for side in objects.xyxy[i]]
