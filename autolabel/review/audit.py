"""A blind random sample of labels that people judge, and what it says of all of them.

Objects are drawn from all kept ones without replacement, each with the same probability, and shown
in random order without scores or reasons. What people say of them gives precision. Whole images,
drawn in the same way from all of them, are searched for what has no label, which gives recall. The
order of a seeded hash makes the draw, so that one reading of the layer suffices and the same seed
draws the same sample.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from autolabel.corrections.decisions import FOLDER, UNDONE, Decision, now
from autolabel.errors import AutolabelError
from autolabel.reading import read_regular
from autolabel.review.items import IMAGE, OBJECT, Box, Item
from autolabel.stages.table import CORRECTED
from autolabel.store import Layer, Workspace, not_writable, write_atomic
from autolabel.types import ACTIONS, Record

OBJECTS_PER_PHOTO = 4
"""For so many objects that are judged, one image is searched for what is missing."""

_LARGEST = 2**28
_NAME = re.compile(r"audit-(\d{1,6})\.json")


@dataclass(frozen=True)
class Drawn:
    """An object of a sample."""

    image_id: str
    label: str
    xyxy: Box


@dataclass(frozen=True)
class Audit:
    """A sample as it was drawn.

    Attributes:
        name: of the audit, as in `Decision.audit`.
        at: when it was drawn, ISO 8601 in UTC.
        seed: what it was drawn with.
        wanted: how many objects were asked for.
        layer, fingerprint: the labels that it was drawn from.
        base, base_fingerprint: the machine's labels that people's are laid over in it, or itself.
        objects: how many labels there were.
        images: how many images.
        sample: the objects that were drawn, in the order in which they are shown.
        photos: ids of the images that were drawn.
    """

    name: str
    at: str
    seed: int
    wanted: int
    layer: str
    fingerprint: str
    base: str
    base_fingerprint: str
    objects: Annotated[int, Field(ge=0)]
    images: Annotated[int, Field(ge=0)]
    sample: tuple[Drawn, ...]
    photos: tuple[str, ...]

    def items(self) -> list[Item]:
        """Return what is shown: each object once, then the images."""
        shown = [Item(OBJECT, one.image_id, one.label, one.xyxy) for one in self.sample]
        shown += [Item(IMAGE, image_id) for image_id in self.photos]
        return list({item.key: item for item in shown}.values())


def boxes_of(record: Record) -> Iterator[Drawn]:
    """Yield the kept objects of an image."""
    kept = record.objects.kept
    for label, xyxy in zip(kept.label.tolist(), kept.xyxy.tolist(), strict=True):
        x1, y1, x2, y2 = map(float, xyxy)
        yield Drawn(record.image_id, str(label), (x1, y1, x2, y2))


class _Lowest:
    """The things with the lowest hashes of all that were offered, in the order of those."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed, self.offered = count, seed, 0
        self._held: list[tuple[str, Any]] = []
        self._bar = "~"  # above every digit

    def offer(self, what: Any) -> None:
        self.offered += 1
        place = _hash(f"{self.seed}/{what!r}/{self.offered}")
        if place < self._bar:
            self._held.append((place, what))
            if len(self._held) > 2 * self.count + 1000:
                self._prune()

    def _prune(self) -> None:
        self._held = heapq.nsmallest(self.count, self._held, key=lambda pair: pair[0])
        if len(self._held) == self.count and self._held:
            self._bar = self._held[-1][0]

    def chosen(self) -> tuple[Any, ...]:
        self._prune()
        return tuple(what for _, what in self._held)


def draw(workspace: Workspace, layer: Layer, wanted: int, seed: int) -> Audit:
    """Draw a sample of a layer's kept objects and of its images, and store it.

    Args:
        workspace: where it is stored.
        layer: the labels.
        wanted: how many objects; all where there are fewer.
        seed: decides the sample and its order.

    Raises:
        AutolabelError: there are no labels, or it cannot be stored.
    """
    objects, photos = _Lowest(wanted, seed), _Lowest(-(-wanted // OBJECTS_PER_PHOTO), seed)
    for record in layer.records():
        if record.usable:
            photos.offer(record.image_id)
            for one in boxes_of(record):
                objects.offer(one)
    if not objects.offered:
        raise AutolabelError(
            f"{layer.name}/ has no kept label to audit",
            hint="autolabel review without --audit shows what there is",
        )
    base = base_of(workspace, layer)
    taken = [int(m[1]) for m in map(_NAME.fullmatch, _names(workspace.path)) if m]
    audit = Audit(
        f"audit-{max(taken, default=0) + 1}", now(), seed, wanted, layer.name,
        layer.fingerprint(), base.name, base.fingerprint(), objects.offered, photos.offered,
        objects.chosen(), photos.chosen(),
    )  # fmt: skip
    file = workspace.path / FOLDER / f"{audit.name}.json"
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, TypeAdapter(Audit).dump_json(audit))
    except OSError as e:
        raise not_writable(file, e) from e
    return audit


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _names(path: Path) -> list[str]:
    folder = path / FOLDER
    return [one.name for one in folder.iterdir()] if folder.is_dir() else []


def audits(path: Path) -> list[Audit]:
    """Return the audits of a workspace, the oldest first.

    Raises:
        AutolabelError: one cannot be read.
    """
    numbered = sorted((int(m[1]), m[0]) for m in map(_NAME.fullmatch, _names(path)) if m)
    return [_read(path / FOLDER / name) for _, name in numbered]


def _read(file: Path) -> Audit:
    try:
        return TypeAdapter(Audit).validate_json(read_regular(file, _LARGEST))
    except (OSError, ValidationError) as e:
        said = e.strerror if isinstance(e, OSError) else "something else has changed it"
        raise AutolabelError(
            f"{file} cannot be read: {said}", hint="take it from a backup, or remove it"
        ) from e


def base_of(workspace: Workspace, layer: Layer) -> Layer:
    """Return the machine's labels that people's are laid over in a layer; else the layer."""
    source = layer.manifest.source
    if layer.name != CORRECTED or source is None:
        return layer
    return workspace.layer(source["layer"])


def is_stale(
    audit: Audit, workspace: Workspace, layer: Layer, decisions: Iterable[Decision]
) -> bool:
    """Tell whether labels have changed since an audit, other than by what was said in it.

    Args:
        audit: as it was drawn.
        workspace: of the audit.
        layer: the labels as they are now.
        decisions: all of the workspace.
    """
    base = base_of(workspace, layer)
    if (base.name, base.fingerprint()) != (audit.base, audit.base_fingerprint):
        return True
    later = (one for one in decisions if one.at > audit.at and one.audit != audit.name)
    return any(one.action in (*ACTIONS, UNDONE) for one in later)
