"""The leak guard: which pictures were made from held-out photos, and which only share a scene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autolabel.ops import local_features, overlap
from autolabel.ops.arrays import Pixels
from autolabel.ops.hashes import NearIndex, phash, thumbnail
from autolabel.ops.local_features import Affine, Features, Mask
from autolabel.ops.overlap import Overlap
from autolabel.stages.held_out import SIDE_HELD, Finding, HeldOutPhoto, pixel_id
from autolabel.types import LEAK, POOL, Record

SIDE_POOL = 320  # a quarter of a photo is then as near in scale as the whole is
FEATURES_POOL = 300
BY_FEATURES, BY_THUMBNAIL = 6, 3  # held-out photos that are looked at closely
ALIKE = 0.8  # correlation of thumbnails from which two may be one picture
SIBLINGS = 8  # photos of the same scene that tell its background

COVERED = 0.17
"""Least share of the held-out photo that a picture shows: a little under a quarter."""
TEXTURED = 0.004
"""Least share of what both show that has texture; without it nothing can be compared."""
AGREEMENT, SAME_SCENE = 0.65, 0.5
"""Least share of texture that correlates in a derived picture, and in one of the same scene."""
DIFFERS = 0.25
"""Largest share of what both show that differs: overlays cover less."""
LOST, LOST_UNDER_OVERLAY, LOST_OF_ADDED = 0.0014, 0.004, 0.35
"""Largest share where things of the held-out photo are gone: a copy takes nothing away. Words that
are laid over a photo hide a little, in proportion to what they add."""
BEYOND = 0.02
"""Largest textured share of a picture that lies beyond the held-out photo's edges."""
EXPLAINED, DISTINCT = 0.6, 0.0004
"""Least share of what is a held-out photo's own that the picture shows too; and how much that must
be, of what both show, to tell anything."""
REPLACED, AROUND = 0.6, 12
"""Where all that differs lies within so many pixels of a held-out photo's own things, and is more
than this share of them, another thing stands in their place. Changes of tones leave less there."""
CLEAN = 0.002
"""A derived picture that differs in less needs no comparison with other ways to lay it."""


@dataclass(frozen=True, eq=False)
class _Pose:
    """The picture, perhaps turned or mirrored, and its map to the held-out photo."""

    held: int
    pixels: Pixels
    affine: Affine


class HeldOutIndex:
    """The held-out photos, ready to say which of them a picture comes from.

    What it says of a picture depends on that picture and on the held-out photos alone.

    Args:
        photos: the held-out photos.
        near_bits: 64-bit hashes that differ in at most this many bits are near; -1 turns all but
            the search for equal pictures off.
    """

    def __init__(self, photos: Sequence[HeldOutPhoto], near_bits: int) -> None:
        self.photos = list({p.image_id: p for p in reversed(photos)}.values())[::-1]
        self._by_bytes = {p.image_id: p for p in self.photos}
        self._by_pixels = {p.pixel_id: p for p in self.photos}
        self._near = None if near_bits < 0 else _by_hash(self.photos, near_bits)
        self._index = local_features.FeatureIndex([p.features for p in self.photos])
        self._thumbnails = np.array([p.thumbnail.ravel() for p in self.photos])
        self._own: dict[int, Mask | None] = {}

    def find(self, pixels: Pixels, image_id: str = "", hash_hex: str = "") -> Finding | None:
        """Find the held-out photo that a picture repeats, if any.

        Args:
            pixels: RGB (height, width, 3).
            image_id: of the file's bytes.
            hash_hex: `phash` of the picture, where it is known.
        """
        if image_id in self._by_bytes:
            return Finding("equal", self._by_bytes[image_id], "the same bytes")
        if (same := self._by_pixels.get(pixel_id(pixels))) is not None:
            return Finding("equal", same, "the same pixels")
        if self._near is None:
            return None
        small = local_features.shrunk(pixels, SIDE_POOL)
        if overlap.is_blank(small):
            return None  # nothing to tell two of them apart by: only exact copies count
        best: tuple[float, Finding] | None = None
        for pose in self._poses(pixels, small):
            found = self._judged(pose)
            if found is not None and found[1].kind == "derived" and found[0] < CLEAN:
                return found[1]
            # Self-similar scenes agree in several ways; that with the fewest differences is true.
            if found is not None and (best is None or found[0] < best[0]):
                best = found
        return best[1] if best else self._near_by_hash(hash_hex or phash(pixels))

    def _near_by_hash(self, hash_hex: str) -> Finding | None:
        found = self._near.find(hash_hex) if self._near is not None else None
        if found is None:
            return None
        held, bits = found
        return Finding("near", held, f"{bits} bit{'' if bits == 1 else 's'} of its hash")

    def _poses(self, pixels: Pixels, small: Pixels) -> Iterable[_Pose]:
        """Try how the picture might lie on held-out photos, the likeliest first."""
        mine = thumbnail(pixels)
        turns = [np.rot90(mine, -i) for i in range(4)]
        turns += [np.fliplr(turn) for turn in turns]
        alike = self._thumbnails @ np.array([turn.ravel() for turn in turns]).T
        for held in np.argsort(-alike.max(axis=1), kind="stable")[:BY_THUMBNAIL]:
            turn = int(alike[held].argmax())
            if alike[held, turn] >= ALIKE:
                yield self._as_a_whole(int(held), turn, small)
        features = local_features.describe(small, FEATURES_POOL)
        sides = features, features.mirrored(small.shape[1])
        votes = np.array([self._index.votes(side) for side in sides])
        turned = small, np.ascontiguousarray(small[:, ::-1])
        for held in np.argsort(-votes.max(axis=0), kind="stable")[:BY_FEATURES]:
            if votes[:, held].max() > 0:
                better = int(votes[:, held].argmax())
                yield from self._by_features(int(held), sides[better], turned[better])

    def _as_a_whole(self, held: int, turn: int, small: Pixels) -> _Pose:
        turned = np.rot90(small, -(turn % 4))
        turned = np.ascontiguousarray(np.fliplr(turned) if turn > 3 else turned)
        return _Pose(held, turned, _stretch(turned, self._picture(held)))

    def _by_features(self, held: int, side: Features, small: Pixels) -> Iterable[_Pose]:
        found = local_features.affine_between(side, self.photos[held].features, SIDE_HELD)
        if found is not None:
            yield _Pose(held, small, found[0])

    def _picture(self, held: int) -> Pixels:
        return local_features.unpacked(self.photos[held].picture)

    def _judged(self, pose: _Pose) -> tuple[float, Finding] | None:
        """Return what a pose says, and the share of what both show in which they differ."""
        photo, held = self.photos[pose.held], self._picture(pose.held)
        both = overlap.overlap(pose.pixels, held, pose.affine)
        if both.textured < TEXTURED or both.agreement < SAME_SCENE or both.covered < COVERED:
            return None
        differs = float(both.differs.sum() / both.seen.sum())
        share = f"{100 * min(both.covered, 1):.0f} % of it"
        if self._is_derived(pose, held, both):
            if both.beyond <= BEYOND:
                return differs, Finding("derived", photo, share)
            return differs, Finding("near", photo, f"{share}, and more beside it")
        if both.covered < 0.5:
            return None
        return differs, Finding("near", photo, "the same scene")

    def _is_derived(self, pose: _Pose, held: Pixels, seen: Overlap) -> bool:
        total = seen.seen.sum()
        overlaid = seen.lost <= LOST_OF_ADDED * seen.added
        lost = seen.lost > (LOST_UNDER_OVERLAY if overlaid else LOST)
        if seen.agreement < AGREEMENT or lost or seen.differs.sum() > DIFFERS * total:
            return False
        own = self._own_of(pose.held)
        if own is None:  # the only photo of its scene, as far as one knows
            return True
        size = pose.pixels.shape[1::-1]
        as_picture = np.repeat((own * np.uint8(255))[..., None], 3, axis=2)
        to_own = pose.affine * (own.shape[1] / held.shape[1])
        there = (overlap.onto(as_picture, to_own, size)[0][..., 0] > 127) & seen.seen
        if there.sum() < max(20, DISTINCT * total):
            return False  # what it shows of that photo is what others show too
        beside = seen.differs & overlap.grown(there, AROUND)
        if beside.sum() > max(REPLACED * there.sum(), 0.9 * seen.differs.sum()):
            return False
        return bool(1 - (there & seen.differs).sum() / there.sum() >= EXPLAINED)

    def _own_of(self, held: int) -> Mask | None:
        """Return where a held-out photo shows what others of its scene do not, if any do."""
        if held not in self._own:
            self._own[held] = self._compared_with_siblings(held)
        return self._own[held]

    def _compared_with_siblings(self, held: int) -> Mask | None:
        mine = self._picture(held)
        small = local_features.shrunk(mine, SIDE_POOL)
        seen, differs = np.zeros(small.shape[:2], int), np.zeros(small.shape[:2], int)
        count = 0
        for other in self._like(held):
            theirs = self._picture(other)
            for affine in self._maps(held, other, small, theirs):
                both = overlap.overlap(small, theirs, affine)
                share = both.differs.sum() / max(1, both.seen.sum())
                if both.agreement < SAME_SCENE or both.covered < 0.5 or both.textured < TEXTURED:
                    continue
                if share > DISTINCT:  # not a copy
                    seen += both.seen
                    differs += both.differs
                    count += 1
                break
        return None if count < 2 else 2 * differs > np.maximum(seen, 1)

    def _like(self, held: int) -> list[int]:
        alike = self._thumbnails @ self._thumbnails[held]
        order = [int(i) for i in np.argsort(-alike, kind="stable") if i != held and alike[i] > 0.5]
        votes = self._index.votes(self.photos[held].features)
        order += [int(i) for i in np.argsort(-votes, kind="stable")[:SIBLINGS] if i != held]
        return list(dict.fromkeys(order[:SIBLINGS] + order[len(order) - SIBLINGS :]))

    def _maps(self, held: int, other: int, small: Pixels, theirs: Pixels) -> Iterable[Affine]:
        yield _stretch(small, theirs)
        features = local_features.describe(small, FEATURES_POOL)
        found = local_features.affine_between(features, self.photos[other].features, SIDE_HELD)
        if found is not None:
            yield found[0]


def _by_hash(photos: Iterable[HeldOutPhoto], near_bits: int) -> NearIndex[HeldOutPhoto]:
    index = NearIndex[HeldOutPhoto](near_bits)
    for photo in photos:
        for turned in photo.hashes:
            index.add(turned, photo)
    return index


def _stretch(picture: Pixels, held: Pixels) -> Affine:
    """Return the map between pictures of the same view, of whatever sizes."""
    by = np.array(held.shape[1::-1]) / np.array(picture.shape[1::-1])
    return np.asarray(np.c_[np.diag(by), (by - 1) / 2])


class FindLeaks:
    """Look at every picture for held-out photos; see `HeldOutIndex`.

    A leak gets the split `leak`; what is only near stays in the `pool`; both get the group of the
    held-out photo, and a note.

    Args:
        photos: the held-out photos.
        near_bits: as in `HeldOutIndex`; -1 for none but equal ones.
        workers: threads that read the held-out photos.
    """

    def __init__(self, photos: Sequence[Path], near_bits: int, workers: int) -> None:
        local_features.one_thread()
        with ThreadPoolExecutor(workers) as pool:
            self.held_out = HeldOutIndex(list(pool.map(HeldOutPhoto.read, photos)), near_bits)

    def wants(self, record: Record) -> bool:
        """Want records that are in use."""
        return record.usable

    def prepare(self, record: Record) -> Record:
        """Judge one picture, which is not kept."""
        found = self.held_out.find(record.image(), record.image_id, record.phash or "")
        record = replace(record, pixels=None)
        if found is None:
            return record
        split = POOL if found.kind == "near" else LEAK
        return replace(record, split=split, group=found.held.image_id, note=found.note)

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        return list(batch)
