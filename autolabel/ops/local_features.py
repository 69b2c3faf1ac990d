"""Local features of pictures: which photo shows the same places, and by which affine map."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.linalg import hadamard

from autolabel.ops.arrays import Bools, Floats, Ints, Pixels, Vectors

Float = Vectors
Mask = Bools
Affine = Floats
"""(2, 3): maps x, y of one picture to x, y of another, in pixels whose centres are integers."""

LEAST = 6
"""Matches at different places that a map needs: it has six unknowns, so three fit any map."""

_MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()
_RATIO = 0.85  # Lowe's ratio test; his 0.8 loses matches of blurred quarters
_RADII = (0.06, 0.03, 0.015, 0.015)  # of the longer side: how far a match may be off


@dataclass(frozen=True, eq=False)
class Features:
    """SIFT keypoints of one picture, the strongest first.

    Attributes:
        points: (n, 4) float32: x, y and diameter in pixels, direction in radians.
        codes: (n, 128) uint8: RootSIFT (Arandjelović and Zisserman, CVPR 2012) times 255. With
            integers, products are exact in float32, so results never depend on the threads.
    """

    points: Float
    codes: Pixels

    def mirrored(self, width: int) -> Features:
        """Return those of the mirrored picture: a code's cells and directions are swapped."""
        points = self.points.copy()
        points[:, 0] = width - 1 - points[:, 0]
        points[:, 3] = np.pi - points[:, 3]
        return Features(points, self.codes[:, _MIRRORED])


def one_thread() -> None:
    """Keep OpenCV from starting threads of its own: the engine's threads work side by side."""
    cv2.setNumThreads(1)


def shrunk(pixels: Pixels, side: int) -> Pixels:
    """Return the picture with its longer side reduced to at most `side` pixels."""
    height, width = pixels.shape[:2]
    factor = side / max(height, width)
    if factor >= 1:
        return pixels
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def packed(pixels: Pixels) -> bytes:
    """Return an RGB picture as a JPEG of quality 95, a tenth of its size, to be kept in memory."""
    quality = [cv2.IMWRITE_JPEG_QUALITY, 95]
    return bytes(cv2.imencode(".jpg", pixels[..., ::-1], quality)[1])


def unpacked(data: bytes) -> Pixels:
    """Return what `packed` took."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def describe(pixels: Pixels, count: int) -> Features:
    """Return the strongest SIFT features (Lowe, IJCV 2004) of an RGB picture.

    The contrast threshold is a seventh of the usual: blood smears and nuclei are smooth.
    """
    sift = cv2.SIFT.create(nfeatures=count, contrastThreshold=0.006, edgeThreshold=15)
    keys, codes = sift.detectAndCompute(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), None)
    if codes is None:
        return Features(np.zeros((0, 4), np.float32), np.zeros((0, 128), np.uint8))
    order = np.argsort([-key.response for key in keys], kind="stable")[:count]
    rows = [(*keys[i].pt, keys[i].size, np.radians(keys[i].angle)) for i in order]
    codes = codes[order]
    root = np.sqrt(codes / np.maximum(codes.sum(axis=1, keepdims=True), 1))
    return Features(np.array(rows, np.float32), np.rint(255 * root).astype(np.uint8))


def affine_between(pool: Features, held: Features, side: float) -> tuple[Affine, int] | None:
    """Return the map from one picture to the other on which most matches agree, and how many do.

    Each match alone, with its size and direction, gives a similarity; the one with the most
    company is fitted again to those that agree. Nothing is drawn at random.

    Args:
        pool, held: features of the two pictures.
        side: the longer side of the held picture in pixels.
    """
    p, h = _matched(pool, held)
    if len(p) < LEAST:
        return None
    company = _most_company(p, h, _RADII[0] * side)
    found, count = _fitted(_similarity, p, h, company, side)
    stretched, more = _fitted(_stretched, p, h, company, side)
    if more >= 2 * LEAST and more > 1.2 * count:  # six unknowns fit a few wrong matches too well
        found, count = stretched, more
    if found is None:
        return None
    large, small = np.linalg.svd(found[:, :2], compute_uv=False)
    folded = np.linalg.det(found[:, :2]) <= 0
    if folded or small < 0.1 or large > 10 or large > 2.5 * small:
        return None
    return found, count


def _fitted(
    fit: Callable[[Float, Float], Affine], p: Float, h: Float, best: Mask, side: float
) -> tuple[Affine | None, int]:
    """Fit to the matches that agree, take those that agree with the fit, and so on."""
    for radius in _RADII:
        if _places(p[best]) < LEAST:
            return None, 0
        affine = fit(p[best, :2], h[best, :2])
        best = np.hypot(*(p[:, :2] @ affine[:, :2].T + affine[:, 2] - h[:, :2]).T) < radius * side
    count = _places(p[best])
    return (affine, count) if count >= LEAST else (None, 0)


def _stretched(p: Float, h: Float) -> Affine:
    return np.asarray(np.linalg.lstsq(np.c_[p, np.ones(len(p))], h, rcond=None)[0].T)


def _similarity(p: Float, h: Float) -> Affine:
    x, y, one, none = p[:, 0], p[:, 1], np.ones(len(p)), np.zeros(len(p))
    left = np.concatenate([np.c_[x, -y, one, none], np.c_[y, x, none, one]])
    c, s, right, down = np.linalg.lstsq(left, np.concatenate([h[:, 0], h[:, 1]]), rcond=None)[0]
    return np.array([[c, -s, right], [s, c, down]])


def _places(points: Float) -> int:
    return len(np.unique(points[:, :2].round(), axis=0))


def _matched(pool: Features, held: Features) -> tuple[Float, Float]:
    """Return points of either picture that match by the ratio test, (m, 4) each."""
    if not len(pool.codes) or len(held.codes) < LEAST:
        return pool.points[:0], held.points[:0]
    distances = _squared_distances(pool.codes, held.codes)
    first = distances.argmin(axis=1)
    best = distances[np.arange(len(first)), first]
    # A place often has several features; the second best must be of another place.
    x, y = (held.points[:, :2] // 4).astype(np.int64).T
    place = x << 32 | y
    distances[place[first, None] == place] = np.inf
    good = best < _RATIO**2 * distances.min(axis=1)
    return pool.points[good], held.points[first[good]]


def _squared_distances(a: Pixels, b: Pixels) -> Float:
    x, y = a.astype(np.float32), b.astype(np.float32)
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)
    return np.asarray(squares - 2 * (x @ y.T), np.float32)


def _most_company(p: Float, h: Float, radius: float) -> Mask:
    """Return the matches that agree with the similarity of that match with which most agree."""
    scale, turn = h[:, 2] / p[:, 2], h[:, 3] - p[:, 3]
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    rotate = np.stack([np.stack([cos, -sin], 1), np.stack([sin, cos], 1)], 1)  # (m, 2, 2)
    shift = h[:, :2] - np.einsum("mij,mj->mi", rotate, p[:, :2])
    moved = np.einsum("mij,nj->mni", rotate, p[:, :2]) + shift[:, None]
    agree = ((moved - h[None, :, :2]) ** 2).sum(axis=2) < radius**2
    agree &= np.abs(np.log(scale[None] / scale[:, None])) < 0.7
    agree &= np.cos(turn[None] - turn[:, None]) > 0.75
    return np.asarray(agree[agree.sum(axis=1).argmax()])


class FeatureIndex:
    """Which of many pictures share features with one: an inverted file with Hamming embedding.

    Jégou, Douze and Schmid, ECCV 2008: each code is put into the list of its nearest word; in that
    list, codes count whose 128-bit signatures differ in few bits. Words are codes of the pictures
    themselves, taken at even distances, so nothing is learned and nothing is random. What occurs in
    many pictures, such as a background, votes for each of them with less weight.

    Args:
        pictures: the features of each picture.
    """

    BITS = 30  # of 128; unrelated codes differ in 45 to 64
    PROBES = 2

    def __init__(self, pictures: Sequence[Features]) -> None:
        self.count = len(pictures)
        self._norms = np.sqrt([len(f.codes) + 50 for f in pictures]).astype(np.float32)
        codes = np.concatenate([f.codes for f in pictures] or [np.zeros((0, 128), np.uint8)])
        owners = np.repeat(np.arange(self.count), [len(f.codes) for f in pictures])
        words = max(1, min(1024, len(codes) // 64))
        self._words = codes[:: max(1, len(codes) // words)][:words]
        some = codes[:: max(1, len(codes) // 10_000)]
        self._centre = np.median(some, axis=0) if len(some) else np.zeros(128)
        chunks = [codes[i : i + 4096] for i in range(0, len(codes), 4096)]
        word = np.concatenate([self._nearest(c, 1)[:, 0] for c in chunks] or [owners])
        order = np.argsort(word, kind="stable")
        self._owners = owners[order].astype(np.int32)
        self._starts = np.searchsorted(word[order], np.arange(len(self._words) + 1))
        signatures = [self._signatures(chunk) for chunk in chunks]
        self._signed = np.concatenate(signatures or [np.zeros((0, 2), np.uint64)])[order]

    def votes(self, features: Features) -> Float:
        """Tell how much each picture shares, (pictures,); a feature of few counts more."""
        votes = np.zeros(self.count, np.float32)
        if not len(features.codes) or not len(self._owners):
            return votes
        words = self._nearest(features.codes, self.PROBES)
        starts, lengths = self._starts[words], self._starts[words + 1] - self._starts[words]
        flat = np.repeat(np.arange(words.size), lengths.ravel())
        inside = np.arange(len(flat)) - np.repeat(
            np.cumsum(lengths.ravel()) - lengths.ravel(), lengths.ravel()
        )
        entries, asked = starts.ravel()[flat] + inside, flat // self.PROBES
        differ = self._signatures(features.codes)[asked] ^ self._signed[entries]
        near = np.bitwise_count(differ).sum(axis=1) <= self.BITS
        pairs = np.unique(asked[near] * self.count + self._owners[entries[near]])
        feature, owner = np.divmod(pairs, self.count)
        shared_by = np.bincount(feature, minlength=1)
        np.add.at(votes, owner, (1 / shared_by[feature]).astype(np.float32))
        return votes / self._norms

    def _nearest(self, codes: Pixels, count: int) -> Ints:
        distances = _squared_distances(codes, self._words)
        count = min(count, distances.shape[1])
        return np.argpartition(distances, count - 1, axis=1)[:, :count]

    def _signatures(self, codes: Pixels) -> npt.NDArray[np.uint64]:
        """Return 128 signs of a rotated code; the rotation is a matrix of ±1, so sums are exact."""
        mixed = (codes - self._centre.round()).astype(np.float32) @ _MIX
        return np.packbits(mixed > 0, axis=1).view(np.uint64)


_MIX = (hadamard(128) * np.random.default_rng(0).choice([-1, 1], (128, 1))).astype(np.float32)
