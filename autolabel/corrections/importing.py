"""What people's labels say about those that a workspace has: decisions, image by image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from autolabel.config.corrections import ImportConfig
from autolabel.corrections.decisions import Decision
from autolabel.corrections.matching import MOVED_IOU, SAME_PX, Matches, match_objects
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.errors import AutolabelError, suggest
from autolabel.ops.boxes import box_areas, clip_boxes
from autolabel.ops.pairs import overlapping
from autolabel.types import (
    CONFIRMED,
    DELETED,
    DRAWN,
    MOVED,
    RELABELLED,
    Correction,
    Objects,
    Record,
    Unmatched,
)

_LEFT_OUT, _OUTSIDE, _IGNORED = (
    "labels of classes that are left out",
    "boxes without area in the image",
    "crowds and other regions to ignore",
)


@dataclass(frozen=True)
class ClassNames:
    """What the classes of people's labels are called in the workspace.

    Attributes:
        names: their name -> ours; None for one that is left out.
        new: those that the workspace has not, in the order of the labels.
        moved: those of ours that have another id there.
    """

    names: Mapping[str, str | None]
    new: tuple[str, ...]
    moved: tuple[str, ...]


@dataclass
class ImportSummary:
    """What an import found.

    Attributes:
        source: what was read.
        images: labelled images that the workspace has.
        changed_images: those of them in which people changed something.
        decisions: how many objects were drawn, moved, relabelled, confirmed, deleted.
        emptied_images: those that had labels and came back without any.
        unchanged: labels that came back as they were and stay the machine's.
        left_out: what of the labels was not taken: how many objects, by what in words.
        unmatched: labelled images that the workspace has not, or not in use, and why.
        not_looked_at: images that lie beside the labels and that no label file names.
        new_classes: classes that the workspace did not have.
        other_ids: classes that have another id in the labels; they were taken by name.
        against: the layer that the labels were compared with; None where there was none.
        file: what holds the decisions; to move it away takes the import back.
        dry_run: whether nothing was written.
    """

    source: str
    images: int = 0
    changed_images: int = 0
    emptied_images: int = 0
    decisions: dict[str, int] = field(default_factory=dict)
    unchanged: int = 0
    left_out: dict[str, int] = field(default_factory=dict)
    unmatched: tuple[Unmatched, ...] = ()
    not_looked_at: int = 0
    new_classes: tuple[str, ...] = ()
    other_ids: tuple[str, ...] = ()
    against: str | None = None
    file: str | None = None
    dry_run: bool = False


def class_names(
    truth: GroundTruth, known: Sequence[str], class_map: Mapping[str, str]
) -> ClassNames:
    """Find the workspace's name of each class: as mapped, as written, or whatever the case.

    Args:
        truth: people's labels.
        known: the workspace's classes in the order of their ids.
        class_map: their name -> ours; an empty one leaves the class out.

    Raises:
        AutolabelError: `class_map` names a class that the labels have not.
    """
    for given in class_map:
        if given not in truth.names:
            raise AutolabelError(
                f"--class-map names {given!r}, which is not a class of the labels",
                hint=suggest(given, truth.names, "their classes are"),
            )
    folded = {name.casefold(): name for name in reversed(known)}
    names: dict[str, str | None] = {}
    for name in truth.names:
        own = " ".join(name.split())
        usual = own if own in known else folded.get(own.casefold(), own)
        names[name] = class_map.get(name, usual) or None
    used = {label for image in truth.records for label in image.objects.label}
    brought = (names[name] for name in truth.names if name in used)
    new = tuple(dict.fromkeys(name for name in brought if name is not None and name not in known))
    ids = {name: i for i, name in enumerate(known)}
    theirs = {ours: i for i, name in enumerate(truth.names) if (ours := names[name]) is not None}
    return ClassNames(names, new, tuple(n for n, i in theirs.items() if ids.get(n, i) != i))


def decide(
    pairs: Iterable[tuple[Record, GroundTruthImage]],
    before: Mapping[str, Objects],
    classes: ClassNames,
    config: ImportConfig,
    summary: ImportSummary,
    shown: tuple[str | None, str | None],
) -> Iterator[Decision]:
    """Yield what people's labels say, and count it in `summary`.

    Args:
        pairs: an image of the workspace, and the same image labelled by people.
        before: image id -> the labels that the workspace has.
        classes: what classes are called.
        config: what is taken for said.
        summary: is added to.
        shown: name and fingerprint of the layer that they are in.
    """
    known = {name for name in classes.names.values() if name is not None}
    for record, image in pairs:
        if not image.looked_at:
            summary.not_looked_at += 1
            continue
        summary.images += 1
        mine = before.get(record.image_id, Objects.empty())
        theirs, ignored, left_out = _usable(record, image, classes)
        _add(summary.left_out, left_out)
        found = match_objects(mine, theirs, (record.width, record.height))
        found = replace(found, removed=_removed(found, mine, ignored, known, config))
        said = [*_said(record.image_id, mine, theirs, found, config)]
        summary.emptied_images += bool(found.removed) and not len(theirs)
        summary.changed_images += any(one.action != CONFIRMED for one in said)
        _add(summary.decisions, Counter(one.action for one in said))
        left = sum(not mine.locked[i] for i, _ in found.same)
        summary.unchanged += left - sum(one.action == CONFIRMED for one in said)
        yield from (replace(one, layer=shown[0], fingerprint=shown[1]) for one in said)


def _usable(
    record: Record, image: GroundTruthImage, classes: ClassNames
) -> tuple[Objects, Objects, dict[str, int]]:
    """Return the labels by our names and within the image, what to ignore, and what is left out."""
    objects = image.objects
    own = [classes.names.get(name) for name in objects.label]
    boxes = clip_boxes(objects.xyxy, record.width, record.height).astype(np.float32)
    named = np.array([name is not None for name in own], bool)
    area = box_areas(boxes) > 0
    left_out = {
        _LEFT_OUT: int((~named).sum()),
        _OUTSIDE: int((named & ~area).sum()),
        _IGNORED: int((named & area & image.ignore).sum()),
    }
    label = np.array([name or "" for name in own], dtype=object)
    objects = replace(objects, label=label, xyxy=boxes)
    return objects[named & area & ~image.ignore], objects[area & image.ignore], left_out


def _add(counts: dict[str, int], more: Mapping[str, int]) -> None:
    counts.update({what: counts.get(what, 0) + count for what, count in more.items() if count})


def _removed(
    found: Matches, mine: Objects, ignored: Objects, known: set[str], config: ImportConfig
) -> list[int]:
    """Return which labels people deleted: those of their classes, and not in what is ignored."""
    if not config.deletions:
        return []
    covered = set(overlapping(mine.xyxy, ignored.xyxy, MOVED_IOU)[0].tolist())
    return [i for i in found.removed if mine.label[i] in known and i not in covered]


def _said(
    image_id: str, mine: Objects, theirs: Objects, found: Matches, config: ImportConfig
) -> Iterator[Decision]:
    told = {"confirm": True, "leave": False}.get(config.unchanged)
    for i, j in found.same:
        confirmed = found.changed or theirs.correction[j] is not None if told is None else told
        if confirmed and not mine.locked[i]:
            kept = _in_place(mine, i, theirs, j)
            yield _decision(image_id, CONFIRMED, kept, 0, (mine, i), theirs.correction[j], config)
    for i, j in found.moved:
        yield _decision(image_id, MOVED, theirs, j, (mine, i), theirs.correction[j], config)
    for i, j in found.relabelled:
        stays = np.abs(mine.xyxy[i] - theirs.xyxy[j]).max() <= SAME_PX
        left, at = (_in_place(mine, i, theirs, j), 0) if stays else (theirs, j)
        yield _decision(image_id, RELABELLED, left, at, (mine, i), theirs.correction[j], config)
    for i in found.removed:
        yield _decision(image_id, DELETED, mine, i, (mine, i), None, config)
    for j in found.added:
        yield _decision(image_id, DRAWN, theirs, j, None, theirs.correction[j], config)


def _in_place(mine: Objects, i: int, theirs: Objects, j: int) -> Objects:
    """Return object `j` in the box and with the mask that it had, which a format may have rounded.

    A mask that it did not have is taken.
    """
    mask = theirs.mask[j] if mine.mask[i] is None else mine.mask[i]
    return replace(mine[[i]], label=theirs.label[[j]], mask=np.array([mask], dtype=object))


def _decision(
    image_id: str,
    action: str,
    objects: Objects,
    at: int,
    judged: tuple[Objects, int] | None,
    said: Correction | None,
    config: ImportConfig,
) -> Decision:
    """Return a decision that leaves object `at` of `objects`, in the place of the one judged."""
    x1, y1, x2, y2 = objects.xyxy[at].tolist()
    mask: bytes | None = objects.mask[at]
    was = None
    if judged is not None:
        before, i = judged
        was = {"label": str(before.label[i]), "xyxy": before.xyxy[i].tolist()}
    return Decision(
        image_id=image_id,
        action=action,
        via="import",
        label=str(objects.label[at]),
        xyxy=(x1, y1, x2, y2),
        mask=None if mask is None or action == DELETED else mask.decode("ascii"),
        was=was,
        who=(said.who if said else None) or config.by,
        when=said.when if said else None,
    )
