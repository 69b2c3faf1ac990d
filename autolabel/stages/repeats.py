"""Repeats: which pictures equal a held-out photo or an earlier one, or are near one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from autolabel.ops.hashes import NearIndex
from autolabel.types import DUPLICATE, EXCLUDED, GONE, LEAK, POOL, Record


@dataclass(frozen=True)
class Mark:
    """What a row is told by the rows before it and by the holdout; see `Record`."""

    split: str
    group: str
    note: str | None
    error: str | None = None


GUARD = "sift-2"
"""Changes when what the leak guard finds does."""

NEAR_HELD_OUT = "near held-out "
"""How the note of a photo begins that is near a held-out one and not made from it."""


def find_repeats(
    records: Iterable[Record],
    holdout: Sequence[Record] = (),
    *,
    near_bits: int,
    held_out: Mapping[tuple[str, str], Mark] | None = None,
) -> dict[tuple[str, str], Mark]:
    """Find rows that repeat a held-out photo or an earlier row; the key is (uri, image_id).

    A mark depends on the holdout and on earlier rows alone, so rows that are appended later never
    change it. Rows without a mark repeat nothing; rows with an error, and those whose photo is
    gone, are never matched.

    - Equal to, or near, a held-out photo: `leak`, in the group of that photo. This goes first.
    - Equal bytes to an earlier row: `duplicate`, in that row's group.
    - Near an earlier row: stays in the `pool`, in that row's group. The nearest row counts, of
      equally near ones the earliest.

    Args:
        records: scanned rows, in the order of the layer.
        holdout: scanned held-out photos; one may come several times with the hashes of its turned
            versions, as `Scan.held_out` gives them.
        near_bits: how many of 64 bits the hashes of near pictures may differ in; -1 for none.
        held_out: marks that a closer look at the held-out photos has given; they go first, but for
            a duplicate of an earlier row that is in use.
    """
    looked = held_out or {}
    held: dict[str, Record] = {}
    held_near, earlier_near = _index(near_bits), _index(near_bits)
    for photo in holdout:
        if photo.error is None:
            held.setdefault(photo.image_id, photo)
            _add(held_near, photo, photo)
    earlier: dict[str, Record] = {}  # rows in use, with their final group
    marks: dict[tuple[str, str], Mark] = {}
    for record in records:
        if record.error is not None or record.split == GONE:
            continue
        mark = looked.get((record.uri, record.image_id)) or _leak(record, held, held_near)
        if mark is None or (mark.split == POOL and record.image_id in earlier):
            mark = _repeat(record, earlier, earlier_near)
        if mark is not None and mark.error is not None:
            marks[record.uri, record.image_id] = mark
            continue
        if mark is not None:
            marks[record.uri, record.image_id] = mark
        if mark is None or mark.split == POOL:
            kept = replace(record, group=mark.group if mark else record.image_id)
            earlier[record.image_id] = kept
            _add(earlier_near, record, kept)
    return marks


def _index(near_bits: int) -> NearIndex[Record] | None:
    return None if near_bits < 0 else NearIndex(near_bits)


def _add(index: NearIndex[Record] | None, record: Record, key: Record) -> None:
    if index is not None and record.phash is not None:
        index.add(record.phash, key)


def _near(index: NearIndex[Record] | None, record: Record) -> tuple[Record, str] | None:
    """Return the nearest record, and the distance in words."""
    found = index.find(record.phash) if index is not None and record.phash is not None else None
    if found is None:
        return None
    other, bits = found
    return other, f"({bits} bit{'' if bits == 1 else 's'})"


def _leak(
    record: Record, held: Mapping[str, Record], index: NearIndex[Record] | None
) -> Mark | None:
    if record.image_id in held:
        return Mark(LEAK, record.image_id, f"equal to held-out {held[record.image_id].uri}")
    near = _near(index, record)
    if near is None:
        return None
    photo, distance = near
    return Mark(LEAK, photo.image_id, f"near held-out {photo.uri} {distance}")


def _repeat(
    record: Record, earlier: Mapping[str, Record], index: NearIndex[Record] | None
) -> Mark | None:
    if record.image_id in earlier:
        first = earlier[record.image_id]
        return Mark(DUPLICATE, first.group or first.image_id, f"equal to {first.uri}")
    near = _near(index, record)
    if near is None:
        return None
    other, distance = near
    return Mark(POOL, other.group or other.image_id, f"near {other.uri} {distance}")


class MarkRepeats:
    """Apply the marks of `find_repeats`, then the rules for size and shape.

    ALIGN (arXiv 2102.05918, section 3) kept pictures whose shorter side is over 200 pixels and
    whose aspect ratio is under 3.

    Args:
        marks: from `find_repeats`.
        min_side: shortest side in pixels that is kept; 0 for any.
        max_aspect: largest ratio of the longer to the shorter side that is kept; 0 for any.
    """

    def __init__(
        self, marks: Mapping[tuple[str, str], Mark], *, min_side: int, max_aspect: float
    ) -> None:
        self.marks = marks
        self.min_side = min_side
        self.max_aspect = max_aspect

    def wants(self, record: Record) -> bool:
        """Want records that could be read."""
        return record.error is None

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        return [self._marked(record) for record in batch]

    def _marked(self, record: Record) -> Record:
        if record.split == GONE:
            return record
        mark = self.marks.get((record.uri, record.image_id))
        if mark is not None and mark.error is not None:
            return record.failed(mark.error)
        if mark is not None:
            record = replace(record, split=mark.split, group=mark.group, note=mark.note)
        broken = self._broken_rule(record) if record.split == POOL else None
        return record if broken is None else replace(record, split=EXCLUDED, note=broken)

    def _broken_rule(self, record: Record) -> str | None:
        short, long = sorted((record.width, record.height))
        if self.min_side > 0 and short < self.min_side:
            return f"side {short} px is under {self.min_side}"
        if self.max_aspect > 0 and long > self.max_aspect * short:
            return f"aspect ratio {long / short:.4g} is over {self.max_aspect:g}"
        return None
