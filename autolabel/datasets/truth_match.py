"""Which image of a layer is which hand-labelled image."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath

from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.datasets.names import original_names
from autolabel.types import LEAK, Record, Unmatched

Pair = tuple[Record, GroundTruthImage]
_Key = Callable[[str], str]


def _last(name: str) -> str:
    return PurePosixPath(name).name


def _before_roboflow(name: str) -> str:
    """Return the last part as Roboflow was given it; it writes ``-`` for a space, among others."""
    names = (_last(name), *original_names(_last(name)))
    return re.sub(r"[\W_]+", "-", names[-1])


_PARTS: tuple[_Key, ...] = (str, _last, lambda name: PurePosixPath(name).stem, _before_roboflow)
_KEYS: tuple[_Key, ...] = tuple(
    key for part in _PARTS for key in (part, lambda name, part=part: part(name).casefold())
)
"""What a path is compared by, the strictest first: all of it, its last part, without its ending,
and as it was before Roboflow named it."""


@dataclass(frozen=True)
class TruthMatch:
    """The images that can be measured.

    Attributes:
        pairs: an image of the layer and the same image in the hand labels, in their order.
        unmatched: hand-labelled images that cannot be.
        without_truth: how many usable images of the layer nobody labelled by hand.
    """

    pairs: list[Pair]
    unmatched: list[Unmatched]
    without_truth: int


def match_truth(records: Iterable[Record], truth: GroundTruth) -> TruthMatch:
    """Find each hand-labelled image among the usable images of a layer.

    By the bytes first; then, for images whose bytes are in neither, by path, file name, name
    without ending and name before Roboflow's, each as written and then whatever the case. A name
    that fits more than one image on either side decides nothing, labels for another image size are
    not compared, and of hand-labelled copies of one photo the first counts.
    """
    known = list(records)
    usable = [record for record in known if record.usable]
    found = _by_content(usable, truth.records)
    taken = {id(record) for record in found.values()}
    free = [record for record in usable if id(record) not in taken]
    ambiguous: set[int] = set()
    for key in _KEYS:
        _by_name(key, free, truth.records, found, ambiguous)
    pairs: list[Pair] = []
    unmatched: list[Unmatched] = []
    first: dict[int, str] = {}
    for i, image in enumerate(truth.records):
        reason = _mismatch(found.get(i), image, known, ambiguous=i in ambiguous)
        if reason is None and id(found[i]) in first:
            reason = f"the same photo as {first[id(found[i])]}"
        if reason is None:
            first[id(found[i])] = image.name
            pairs.append((found[i], image))
        else:
            unmatched.append(Unmatched(image.name, reason))
    compared = {id(record) for record, _ in pairs}
    return TruthMatch(pairs, unmatched, sum(id(record) not in compared for record in usable))


def _by_content(usable: list[Record], images: tuple[GroundTruthImage, ...]) -> dict[int, Record]:
    by_id: dict[str, Record] = {}
    for record in usable:
        by_id.setdefault(record.image_id, record)
    return {i: by_id[image.image_id] for i, image in enumerate(images) if image.image_id in by_id}


def _by_name(
    key: _Key,
    free: list[Record],
    images: tuple[GroundTruthImage, ...],
    found: dict[int, Record],
    ambiguous: set[int],
) -> None:
    """Add to `found` what one key decides, and to `ambiguous` what it finds more than once."""
    taken = {id(record) for record in found.values()}
    candidates: dict[str, list[Record]] = defaultdict(list)
    for record in free:
        if id(record) not in taken:
            candidates[key(record.uri)].append(record)
    open_ = [i for i in range(len(images)) if i not in found and i not in ambiguous]
    wanted = Counter(key(_slashed(images[i].name)) for i in open_)
    for i in open_:
        name = key(_slashed(images[i].name))
        if name in candidates:
            if len(candidates[name]) == wanted[name] == 1:
                found[i] = candidates[name][0]
            else:
                ambiguous.add(i)


def _slashed(name: str) -> str:
    return name.replace("\\", "/")


def _mismatch(
    record: Record | None, image: GroundTruthImage, known: list[Record], *, ambiguous: bool
) -> str | None:
    """Say why the two cannot be compared, or None."""
    if ambiguous:
        return "its name fits more than one image"
    if record is None:
        same = [r for r in known if r.image_id == image.image_id]
        if not same:
            return "not in the layer"
        if same[0].error is not None:
            return f"unreadable: {same[0].error}"
        return "held out" if same[0].split == LEAK else same[0].split
    size, labelled = (record.width, record.height), (image.width, image.height)
    if size != labelled and all(size) and all(labelled):
        return f"labelled at {labelled[0]} x {labelled[1]} pixels, but has {size[0]} x {size[1]}"
    return None
