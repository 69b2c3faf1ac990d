"""Label Studio's brush masks: run lengths of RGBA pixels, packed bit by bit.

The packing is that of rle-pack (https://github.com/thi-ng/umbrella): 32 bits for the number of
values, 5 for the size of one, 4 times 4 for the sizes of run lengths, then runs. Each run is a bit
that says whether one value is repeated, 2 bits that choose the size of the length, the length less
one, and the value or the values.

What a browser shows of a mask is its fourth channel, the alpha: a mask of 0 and 1 is there and
cannot be seen. So masks are written with 0 and 255 in all four channels, as label-studio-converter
writes them.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from autolabel.ops.arrays import Ints, Pixels
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.masks import boxes, cropped, decode, pasted

CHANNELS = 4
_WORD = 8
_SIZES = (3, 4, 8, 16)
"""Bits of a run's length; the first that fits is taken."""
_HEADER_BITS = 32 + 5 + 4 * len(_SIZES)
_LONGEST = 2**16
_AT_ONCE = 100_000


def to_brush(counts: bytes, height: int, width: int) -> bytes:
    """Return a mask as Label Studio writes it: 255 inside, 0 outside, four channels.

    Args:
        counts: compressed COCO RLE of the mask.
        height, width: of the image, pixels; at most `MAX_PIXELS`.

    >>> from autolabel.ops.masks import encode
    >>> list(to_brush(encode(np.eye(2, dtype=bool)[None])[0], 2, 2))
    [0, 0, 0, 16, 57, 27, 252, 127, 243, 128, 71, 254]
    """
    lengths = CHANNELS * _runs(counts, height, width)
    values = np.where(np.arange(len(lengths)) % 2, 255, 0)
    codes, bits = _codes(lengths[lengths > 0], values[lengths > 0])
    header = [CHANNELS * height * width, _WORD - 1, *(size - 1 for size in _SIZES)]
    head = np.concatenate(list(_bits(np.array(header), np.array([32, 5, *[4] * len(_SIZES)]))))
    packed = [head, *_bits(codes, bits)]
    # One to eight bits of padding, as label-studio-converter does.
    filling = 8 - sum(map(len, packed)) % 8
    return np.packbits(np.concatenate([*packed, np.zeros(filling, np.uint8)])).tobytes()


def _runs(counts: bytes, height: int, width: int) -> Ints:
    """Return lengths of the runs of a mask, row by row, outside and inside by turns, (k,)."""
    x1, y1, x2, y2 = boxes([counts], height, width)[0].astype(int).tolist()
    (mask,) = decode([counts], height, width)
    inside = np.pad(mask[y1:y2, x1:x2], ((0, 0), (1, 1))).astype(np.int8)
    rows, columns = np.nonzero(np.diff(inside, axis=1))
    edges = (rows + y1) * width + columns + x1
    begins, ends = edges[::2], edges[1::2]  # within a row they take turns
    apart = begins[1:] != ends[:-1]  # else a run goes on in the next row
    edges = (
        np.stack([begins[np.r_[True, apart]], ends[np.r_[apart, True]]], axis=1).ravel()
        if len(begins)
        else edges
    )
    return np.diff(np.concatenate([[0], edges, [height * width]]))


def _codes(lengths: Ints, values: Ints) -> tuple[Ints, Ints]:
    """Return codes and their bits, one for each run, and several for one that is too long."""
    chosen = np.searchsorted(2 ** np.array(_SIZES[:-1]), lengths)
    pieces = -(-lengths // _LONGEST)
    last = np.cumsum(pieces) - 1
    rest = lengths - _LONGEST * (pieces - 1)
    lengths, values, chosen = (np.repeat(a, pieces) for a in (lengths, values, chosen))
    lengths = np.minimum(lengths, _LONGEST)
    lengths[last] = rest
    sizes = np.array(_SIZES)[chosen]
    codes = (((4 | chosen) << sizes | lengths - 1) << _WORD) | values
    return codes, 3 + sizes + _WORD


def _bits(codes: Ints, bits: Ints) -> Iterator[Pixels]:
    """Yield the bits of codes, highest first, as 0 and 1."""
    for start in range(0, len(codes), _AT_ONCE):
        code, size = codes[start : start + _AT_ONCE], bits[start : start + _AT_ONCE]
        ends = np.cumsum(size)
        shift = np.repeat(ends, size) - 1 - np.arange(ends[-1])
        yield (np.repeat(code, size) >> shift & 1).astype(np.uint8)


def from_brush(data: bytes, height: int, width: int) -> bytes:
    """Return a mask of Label Studio as compressed COCO RLE.

    A pixel belongs to it where the alpha is at least half of the highest in the mask: the brush of
    the browser leaves soft edges, and others write 0 and 1.

    Args:
        data: as Label Studio gives it.
        height, width: of the image, pixels.

    >>> from autolabel.ops.masks import encode
    >>> eye = encode(np.eye(3, dtype=bool)[None])[0]
    >>> from_brush(to_brush(eye, 3, 3), 3, 3) == eye
    True

    Raises:
        ValueError: it is damaged, of another size, or over `MAX_PIXELS`; nothing of its size was
            allocated.
    """
    if not 0 < height * width <= MAX_PIXELS:
        raise ValueError(f"a mask of {width} x {height} pixels is over {MAX_PIXELS}")
    alpha = _alpha(data, height * width).reshape(height, width)
    inside = alpha >= max(1, (int(alpha.max()) + 1) // 2)
    return pasted(*cropped(inside), height, width)


def _alpha(data: bytes, pixels: int) -> Pixels:
    """Return the fourth channel, (pixels,)."""
    header = int.from_bytes(data[:7], "big") >> 56 - _HEADER_BITS
    count, word = header >> _HEADER_BITS - 32, (header >> 4 * len(_SIZES) & 31) + 1
    sizes = [(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)]
    if len(data) < 7 or count != CHANNELS * pixels or word != _WORD:
        raise ValueError(
            f"it has {count} values of {word} bits, not {CHANNELS * pixels} of {_WORD}"
        )
    alpha = np.zeros(pixels, np.uint8)
    end, data = 8 * len(data), data + bytes(8)
    at, i = _HEADER_BITS, 0
    while i < count:
        ahead = int.from_bytes(data[at >> 3 : (at >> 3) + 8], "big") >> 8 - (at & 7)
        size = sizes[ahead >> 53 & 3]
        j = i + 1 + (ahead >> 53 - size & (1 << size) - 1)
        repeated, at = ahead >> 55 & 1, at + 3 + size
        taken = 1 if repeated else j - i
        if at + _WORD * taken > end:
            raise ValueError("it ends early")
        if repeated:
            alpha[i // CHANNELS : j // CHANNELS] = ahead >> 53 - size - _WORD & 255
        else:
            values = _aligned(data, at, min(j, count) - i)
            alpha[i // CHANNELS : j // CHANNELS] = values[(CHANNELS - 1 - i) % CHANNELS :: CHANNELS]
        at, i = at + _WORD * taken, j
    return alpha


def _aligned(data: bytes, at: int, count: int) -> Pixels:
    """Return so many bytes that begin at a bit."""
    piece = data[at >> 3 : (at >> 3) + count + 1]
    shifted = int.from_bytes(piece, "big") >> 8 - (at & 7)
    return np.frombuffer((shifted & (1 << 8 * count) - 1).to_bytes(count, "big"), np.uint8)
