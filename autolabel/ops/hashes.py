"""Perceptual hashes: pictures that look alike differ in few of 64 bits."""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from itertools import combinations
from typing import Generic, TypeVar

import imagehash
import numpy as np
from PIL import Image
from scipy.stats import rankdata

from autolabel.ops.arrays import Pixels, Vectors

K = TypeVar("K", bound=Hashable)

_SIDE = 256  # pixels; eight times the 32 that the hash looks at
_BITS = 64
_BANDS = 4  # 16-bit bands: 100,000 random hashes leave one or two in a bucket
_LONG = 64  # from here on numpy compares a bucket faster than a loop does


def phash(pixels: Pixels) -> str:
    """Return the 64-bit DCT hash of an upright RGB picture (height, width, 3), as 16 hex digits.

    `imagehash.phash` on a picture of at most 511 pixels a side: a larger one is averaged over
    whole blocks first, several times faster and a bit or so away from the hash of the whole.

    >>> picture = np.random.default_rng(0).integers(0, 200, (40, 60, 3), dtype=np.uint8)
    >>> hamming(phash(picture), phash(picture + np.uint8(20)))
    0
    """
    return str(imagehash.phash(_reduced(pixels)))


def dihedral_hashes(pixels: Pixels) -> tuple[str, ...]:
    """Hash the picture turned by 0, 90, 180, 270 degrees, then its mirror image likewise.

    The first is `phash(pixels)`; the others are within a few bits of the hash of the turned
    picture, because the 32 x 32 thumbnail is turned rather than the picture.
    """
    small = _reduced(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    mirrored = small.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned = [side.rotate(angle) for side in (small, mirrored) for angle in (0, 90, 180, 270)]
    return tuple(str(imagehash.phash(image)) for image in turned)


def thumbnail(pixels: Pixels) -> Vectors:
    """Return the picture as 32 x 32 grey values, as ranks scaled to length 1; (32, 32).

    The product of two is Spearman's correlation, which no change of brightness, contrast or gamma
    touches; a picture without any variation is all zeros.
    """
    small = _reduced(pixels).convert("L").resize((32, 32), Image.Resampling.LANCZOS)
    ranks = np.asarray(rankdata(np.asarray(small, np.float32).ravel()), np.float32)
    ranks -= ranks.mean()
    length = float(np.linalg.norm(ranks))
    return (ranks / length if length else ranks).reshape(32, 32)


def _reduced(pixels: Pixels) -> Image.Image:
    image = Image.fromarray(pixels)
    return image.reduce((max(1, image.width // _SIDE), max(1, image.height // _SIDE)))


def hamming(a: str, b: str) -> int:
    """Tell in how many bits two hashes differ.

    >>> hamming("00000000000000ff", "00000000000000fe")
    1
    """
    return (int(a, 16) ^ int(b, 16)).bit_count()


class NearIndex(Generic[K]):
    """Hashes by nearness: exact, and no linear scan.

    A hash is cut into four bands of 16 bits. Give the bands radii that sum to ``max_bits - 3``: if
    each band of two hashes differed in more than its radius, the hashes would differ in more than
    `max_bits` bits. So whatever is near lies within its radius in some band, and the few values
    within that radius are looked up (the generalised pigeonhole principle: Norouzi, Punjani and
    Fleet, arXiv 1307.2982, section 3). The work grows steeply with the radii, and so beyond 8 bits.
    It is our own because ImageHash compares with every hash, and the libraries that index binary
    codes are large and answer nearly, not exactly.

    Args:
        max_bits: hashes that differ in more bits than this are not near; 0 to 64.

    >>> index = NearIndex[str](6)
    >>> index.add("00000000000000ff", "a.jpg")
    >>> index.find("00000000000000fe")
    ('a.jpg', 1)
    >>> index.find("ffffffffffffffff") is None
    True
    """

    def __init__(self, max_bits: int) -> None:
        if not 0 <= max_bits <= _BITS:
            raise ValueError(f"max_bits must be from 0 to {_BITS}, not {max_bits}")
        self.max_bits = max_bits
        count = min(_BANDS, max_bits + 1)
        self._width = -(-_BITS // count)
        spare = max_bits + 1 - count  # what the radii sum to
        self._flips = [
            _flips(self._width, spare // count + (band < spare % count)) for band in range(count)
        ]
        self._buckets: list[dict[int, array[int]]] = [{} for _ in range(count)]
        self._order: dict[int, int] = {}  # each distinct hash -> when it was first added
        self._keys: list[K] = []

    def add(self, hash_hex: str, key: K) -> None:
        """Remember `key`, unless an equal hash is there: that one was earlier."""
        value = int(hash_hex, 16)
        if value in self._order:
            return
        self._order[value] = len(self._keys)
        self._keys.append(key)
        for part, buckets in zip(self._parts(value), self._buckets, strict=True):
            buckets.setdefault(part, array("Q")).append(value)

    def find(self, hash_hex: str) -> tuple[K, int] | None:
        """Return the nearest key and its distance in bits (of equals the first), or None."""
        value = int(hash_hex, 16)
        if value in self._order:
            return self._keys[self._order[value]], 0
        best = (self.max_bits + 1, -1)
        for part, buckets, flips in zip(
            self._parts(value), self._buckets, self._flips, strict=True
        ):
            for flip in flips:
                bucket = buckets.get(part ^ flip)
                if bucket is not None:
                    best = min(best, self._nearest(value, bucket))
        bits, order = best
        return (self._keys[order], bits) if bits <= self.max_bits else None

    def _parts(self, value: int) -> list[int]:
        width, mask = self._width, (1 << self._width) - 1
        return [(value >> (band * width)) & mask for band in range(len(self._buckets))]

    def _nearest(self, value: int, bucket: array[int]) -> tuple[int, int]:
        """Return distance and order of the bucket's nearest hash; they lie in order of adding."""
        if len(bucket) < _LONG:
            nearest = min(bucket, key=lambda other: (value ^ other).bit_count())
            bits = (value ^ nearest).bit_count()
        else:
            distances = np.bitwise_count(np.frombuffer(bucket, np.uint64) ^ np.uint64(value))
            first = int(distances.argmin())
            bits, nearest = int(distances[first]), bucket[first]
        return bits, self._order[nearest]


def _flips(width: int, radius: int) -> list[int]:
    """Return every `width`-bit mask of at most `radius` ones, the emptiest first."""
    return [
        sum(1 << bit for bit in bits)
        for ones in range(radius + 1)
        for bits in combinations(range(width), ones)
    ]
