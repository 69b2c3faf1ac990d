"""Masks as compressed COCO RLE (pycocotools): what they cover, how they compare, and cleaning.

A mask is `bytes`, the `counts` of an RLE; the image's height and width go with it. Parts and holes
belong to one mask throughout.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from pycocotools import mask as rle

from autolabel.ops.arrays import Bools, Floats, Ints, Pixels, Vectors

EDGES = np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], bool)
CORNERS = np.ones((3, 3), bool)
"""Which neighbours of a pixel count: those at its edges, or those at its corners too."""


def encode(masks: Bools) -> list[bytes]:
    """Encode dense masks (n, height, width) as RLE.

    >>> encode(np.eye(3, dtype=bool)[None])
    [b'013000']
    """
    columns = np.asfortranarray(masks.transpose(1, 2, 0), dtype=np.uint8)
    return [one["counts"] for one in rle.encode(columns)]


def decode(counts: Sequence[bytes], height: int, width: int) -> Bools:
    """Decode RLE to dense masks, bool (n, height, width); n times the image's size in memory.

    >>> decode(encode(np.eye(3, dtype=bool)[None]), 3, 3).astype(int).tolist()
    [[[1, 0, 0], [0, 1, 0], [0, 0, 1]]]
    """
    if not counts:
        return np.zeros((0, height, width), bool)
    dense: Pixels = rle.decode(as_coco(counts, height, width))
    return dense.transpose(2, 0, 1).astype(bool)


def as_coco(counts: Sequence[bytes], height: int, width: int) -> list[dict[str, Any]]:
    """Return RLE as the objects that pycocotools works with."""
    return [{"size": [height, width], "counts": one} for one in counts]


def areas(counts: Sequence[bytes], height: int, width: int) -> Ints:
    """Return pixels of each mask, (n,)."""
    return np.asarray(rle.area(as_coco(counts, height, width)), np.int64).reshape(len(counts))


def boxes(counts: Sequence[bytes], height: int, width: int) -> Vectors:
    """Return smallest box around each mask, xyxy, half-open, (n, 4); zeros for an empty mask.

    >>> boxes(encode(np.eye(3, dtype=bool)[None]), 3, 3).tolist()
    [[0.0, 0.0, 3.0, 3.0]]
    """
    xywh = np.asarray(rle.toBbox(as_coco(counts, height, width)), np.float32).reshape(-1, 4)
    return np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)


def iou(first: Sequence[bytes], second: Sequence[bytes], height: int, width: int) -> Floats:
    """Return the IoU of every pair, (len(first), len(second)); 0 for two empty masks."""
    if not first or not second:
        return np.zeros((len(first), len(second)))
    one, other = as_coco(first, height, width), as_coco(second, height, width)
    return np.asarray(rle.iou(one, other, [False] * len(other)), np.float64)


def fits(counts: Sequence[bytes], pixels: npt.ArrayLike) -> Bools:
    """Tell which RLE are whole and cover exactly so many pixels, bool (n,).

    pycocotools checks nothing: runs that end early or late keep its loops going for ever. So RLE
    that others wrote is checked first, all at once and in time linear in its length. A run of
    length zero is allowed at the start alone, as pycocotools writes them; elsewhere one can end a
    comparison early.

    Args:
        counts: compressed COCO RLE.
        pixels: height times width of each image, (n,), or of all.

    >>> fits([b"013000", b"01300", b"0130001", b"013P", b"", b"9"], 9).tolist()
    [True, False, False, False, False, True]
    """
    lengths = np.array([len(one) for one in counts], np.int64)
    good = lengths > 0
    letters = np.frombuffer(b"".join(counts), np.uint8).astype(np.int64) - 48
    if not len(letters):
        return good
    owner = np.repeat(np.arange(len(counts)), lengths)
    # Five bits a letter, low ones first, and a sixth that says whether more follow.
    last_letter = np.concatenate([owner[1:] != owner[:-1], [True]])
    more = (letters & 32) != 0
    good[owner[(letters < 0) | (letters > 63) | (last_letter & more)]] = False
    ends = np.flatnonzero(~more | last_letter)
    starts = np.concatenate([[0], ends[:-1] + 1])
    good[owner[ends[ends - starts > 6]]] = False  # over 32 bits
    place = np.minimum(np.arange(len(letters)) - np.repeat(starts, ends - starts + 1), 6)
    values = np.add.reduceat((letters & 31) << (5 * place), starts)
    negative = (letters[ends] & 16) != 0
    values -= negative * (1 << (5 * np.minimum(ends - starts + 1, 7)))
    return good & _add_up(values, owner[ends], np.broadcast_to(pixels, len(counts)))


def _add_up(steps: Ints, owner: Ints, pixels: Ints) -> Bools:
    """Tell whether the runs behind the steps of each owner are positive and cover its pixels.

    From the fourth on, a step is the difference to the run before the last.
    """
    first = np.searchsorted(owner, np.arange(len(pixels)))
    nth = np.arange(len(steps)) - first[owner]
    sums = steps.copy()
    for parity in (0, 1):
        sums[parity::2] = np.cumsum(steps[parity::2])
    # What the sums held before the owner's own chain: run 1, 3, … and run 2, 4, … each are one.
    before = np.where(nth % 2 == 1, first[owner] - 1, first[owner])
    base = np.where(before >= 0, sums[np.maximum(before, 0)], 0)
    runs = np.where(nth == 0, steps, sums - base)
    wrong = (runs < 0) | (runs > pixels[owner]) | ((runs == 0) & (nth > 0))
    fine = np.ones(len(pixels), bool)
    fine[owner[wrong]] = False
    covered = np.concatenate([[0], np.cumsum(np.where(wrong, 0, runs))])
    end = np.searchsorted(owner, np.arange(len(pixels)), side="right")
    return np.asarray(fine & (covered[end] - covered[first] == pixels))


def from_counts(counts: object, height: int, width: int) -> bytes:
    """Return RLE that others wrote, compressed text or plain runs, sure to cover the image.

    >>> from_counts([1, 0, 2, 3], 2, 3), from_counts("33", 2, 3)
    (b'33', b'33')

    Raises:
        ValueError: it is neither, is damaged, or covers another number of pixels.
    """
    if isinstance(counts, str) and counts.isascii():
        compressed = counts.encode()
        if fits([compressed], height * width)[0]:
            return compressed
    runs = isinstance(counts, list) and all(isinstance(n, int) and n >= 0 for n in counts)
    if isinstance(counts, list) and runs and sum(counts) == height * width:
        plain = {"size": [height, width], "counts": _without_empty(counts)}
        made: bytes = rle.frPyObjects(plain, height, width)["counts"]
        return made
    raise ValueError(f"its RLE is damaged, or does not cover {width} x {height} pixels")


def _without_empty(counts: Sequence[int]) -> list[int]:
    """Return runs of which only the first may be of length zero, see `fits`.

    >>> _without_empty([2, 0, 3, 4]), _without_empty([0, 1, 0, 0, 5])
    ([5, 4], [0, 1, 5])
    """
    runs, value = [0], 0
    for i, length in enumerate(counts):
        if i % 2 == value:
            runs[-1] += length
        elif length:
            runs.append(length)
            value = i % 2
    return runs


def pasted(crop: Bools, top: int, left: int, height: int, width: int) -> bytes:
    """Return RLE of a mask that lies at a place in an image; it takes the crop's size in memory.

    Args:
        crop: the pixels, bool (rows, columns).
        top, left: where its upper left pixel lies; the crop lies within the image.
        height, width: of the image.

    >>> decode([pasted(np.ones((2, 1), bool), 1, 2, 3, 4)], 3, 4)[0].astype(int).tolist()
    [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]
    """
    steps = np.diff(np.pad(crop, ((1, 1), (0, 0))).astype(np.int8), axis=0)
    columns, rows = np.nonzero(steps.T)
    edges = (columns + left) * height + rows + top  # where a run starts, where it ends, and so on
    joined = np.flatnonzero(edges[1:-1:2] == edges[2::2])  # at the top of the next column
    edges = np.delete(edges, [*(2 * joined + 1), *(2 * joined + 2)])
    counts = np.diff([0, *edges, height * width]).tolist()
    plain = {"size": [height, width], "counts": counts if counts[-1] else counts[:-1]}
    made: bytes = rle.frPyObjects(plain, height, width)["counts"]
    return made


def crop_of(counts: bytes, height: int, width: int) -> tuple[Bools, int, int]:
    """Return the pixels of a mask's own box, bool (rows, columns), and its top and left.

    Without rows and columns for an empty mask. `pasted` is the way back.

    >>> crop_of(b"21201", 3, 3)
    (array([[ True,  True]]), 2, 0)
    """
    return cropped(decode([counts], height, width)[0])


def cropped(mask: Bools) -> tuple[Bools, int, int]:
    """Return the pixels of the box around what is True, bool (rows, columns), its top and left.

    Without rows and columns where nothing is.
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return np.zeros((0, 0), bool), 0, 0
    top, left = int(rows[0]), int(columns[0])
    return mask[top : rows[-1] + 1, left : columns[-1] + 1], top, left


def union(counts: Sequence[bytes], height: int, width: int) -> bytes:
    """Return RLE of what masks cover together, at least one.

    >>> union(encode(np.eye(2, dtype=bool)[:, None]), 1, 2)
    b'02'
    """
    if len(counts) == 1:
        return counts[0]
    merged: bytes = rle.merge(as_coco(counts, height, width))["counts"]
    return merged


def cut(mask: Bools, box_xyxy: Vectors, margin: float) -> Bools:
    """Return a mask without what lies farther outside a box than `margin` times the box's sides.

    Args:
        mask: bool (height, width).
        box_xyxy: absolute pixels, (4,).
        margin: share of the box's width and height, at least 0.

    >>> cut(np.ones((2, 4), bool), np.array([1, 0, 3, 2], np.float32), 0).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    x1, y1, x2, y2 = (float(v) for v in box_xyxy)
    xs, ys = np.arange(mask.shape[1]) + 0.5, np.arange(mask.shape[0]) + 0.5
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    columns = (xs >= x1 - dx) & (xs <= x2 + dx)
    rows = (ys >= y1 - dy) & (ys <= y2 + dy)
    return mask & rows[:, None] & columns


def clean(mask: Bools, min_speck_px: int, fill_hole_px: int) -> Bools:
    """Return a mask without specks and pinholes; every larger part and hole stays.

    The largest part stays whatever its size, so nothing is cleaned away altogether. Parts touch at
    edges or corners, holes at edges alone, so that a line one pixel thin is one part and closes.

    Args:
        mask: bool (height, width).
        min_speck_px: parts with fewer pixels go; 0 keeps all.
        fill_hole_px: holes with at most so many pixels are filled; 0 fills none.

    >>> clean(np.array([[1, 1, 1, 0, 0], [1, 0, 1, 0, 1], [1, 1, 1, 0, 0]], bool), 2, 1).astype(int)
    array([[1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0],
           [1, 1, 1, 0, 0]])
    """
    from scipy import ndimage

    if min_speck_px > 1:
        parts, count = ndimage.label(mask, CORNERS)
        if count > 1:
            sizes = np.bincount(parts.ravel())
            sizes[0] = 0
            stays = sizes >= min_speck_px
            stays[sizes.argmax()] = True
            mask = stays[parts]
    if fill_hole_px > 0:
        # Padded, so that what reaches the border of the image is one region and no hole.
        outside, count = ndimage.label(np.pad(~mask, 1, constant_values=True), EDGES)
        if count > 1:
            filled = np.bincount(outside.ravel()) <= fill_hole_px
            filled[[0, outside[0, 0]]] = False
            mask = mask | filled[outside][1:-1, 1:-1]
    return mask


def stability(logits: Vectors, threshold: float = 0.0, offset: float = 1.0) -> Vectors:
    """Tell how little a mask changes with its threshold, in [0, 1], (n,); 0 for an empty mask.

    The IoU of the masks at `threshold + offset` and `threshold - offset` (arXiv 2304.02643,
    section 5 and appendix B); the one lies within the other, so areas suffice.

    Args:
        logits: mask logits, (n, height, width).
        threshold: logit from which a pixel belongs to the mask.
        offset: how far to move the threshold, in logits.

    >>> stability(np.array([[[-2, -0.5, 0.5, 2.0]]], np.float32)).tolist()
    [0.3333333432674408]
    """
    inner = (logits > threshold + offset).sum(axis=(1, 2))
    outer = (logits > threshold - offset).sum(axis=(1, 2))
    return np.asarray(inner / np.maximum(outer, 1), np.float32)
