"""Two pictures laid upon each other: where they show the same, and what only one of them shows."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from autolabel.ops.arrays import Floats, Ints, Pixels
from autolabel.ops.local_features import Affine, Float, Mask

_SMOOTH = 1.2  # pixels: takes away noise and the blocks of JPEG
_WINDOW = (15, 15)  # pixels in which tones are correlated
_TEXTURED = 9.0  # variance of grey values from which a window has something to correlate
_FIVE = np.ones((5, 5), np.uint8)
_CALM = 2.5  # pixels
_FITS = 3.0  # grey values: the mean error of tones that fit
_SPECK = 6  # pixels: smaller differences are edges that are a little off


@dataclass(frozen=True, eq=False)
class Overlap:
    """A held-out photo laid upon a picture of the pool.

    Attributes:
        covered: share of the held-out photo that lies within the picture.
        inside: share of the picture that it fills.
        textured: share of what both show that has texture.
        agreement: share of that texture which correlates.
        seen: (height, width) where the held-out photo lies.
        differs: (height, width) where the two differ by more than noise and edges.
        lost: share of what both show where the held-out photo has something on its ground, and the
            picture the ground alone.
        added: the same the other way round.
        beyond: share of the picture outside of the held-out photo that is not a plain border.
    """

    covered: float
    inside: float
    textured: float
    agreement: float
    seen: Mask
    differs: Mask
    lost: float
    added: float
    beyond: float


def is_blank(pixels: Pixels) -> bool:
    """Tell whether a picture of some 300 pixels a side has no texture but noise in any place."""
    grey = _smooth(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32))
    return bool(_textured(grey, np.ones(grey.shape, bool)).mean() < 0.001)


def grown(mask: Mask, pixels: int) -> Mask:
    """Grow a mask by so many pixels to each side.

    >>> grown(np.array([[False, False, True]]), 1).tolist()
    [[False, True, True]]
    """
    square = np.ones((2 * pixels + 1, 2 * pixels + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), square) > 0)


def onto(held: Pixels, affine: Affine, size_wh: tuple[int, int]) -> tuple[Pixels, Mask]:
    """Bring the held-out photo into the frame that `affine` maps from; tell where it lies."""
    scale = float(np.sqrt(abs(np.linalg.det(affine[:, :2]))))
    if scale > 1:  # averaged first: sampling alone would leave out pixels
        width, height = (max(1, round(n / scale)) for n in held.shape[1::-1])
        by = np.array([[width / held.shape[1]], [height / held.shape[0]]])
        held = np.asarray(cv2.resize(held, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        affine = np.c_[affine[:, :2] * by, (affine[:, 2] + 0.5) * by[:, 0] - 0.5]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(held, affine, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    whole = np.full(held.shape[:2], 255, np.uint8)
    return np.asarray(moved, np.uint8), cv2.warpAffine(whole, affine, size_wh, flags=flags) == 255


def overlap(pool: Pixels, held: Pixels, affine: Affine) -> Overlap:
    """Compare a picture with what a held-out photo would look like in its frame and its tones.

    Args:
        pool: RGB (height, width, 3).
        held: RGB of any size.
        affine: maps x, y of `pool` to x, y of `held`.
    """
    height, width = pool.shape[:2]
    moved, seen = onto(held, affine, (width, height))
    covered = seen.sum() * abs(np.linalg.det(affine[:, :2])) / (held.shape[0] * held.shape[1])
    inside = float(seen.mean())
    y = _smooth(cv2.cvtColor(pool, cv2.COLOR_RGB2GRAY).astype(np.float32))
    beyond = float(
        _textured(y, cv2.erode((~seen).astype(np.uint8), np.ones((11, 11), np.uint8)) > 0).mean()
    )
    # Edges of the held-out photo are half frame, half photo; those of the picture are not.
    seen = cv2.erode(seen.astype(np.uint8), _FIVE, borderValue=1) > 0
    if seen.sum() < 400:
        return Overlap(float(covered), inside, 0, 0, seen, np.zeros_like(seen), 0, 0, beyond)
    x = _smooth(_in_tones_of(moved, y, seen))
    textured, agrees = _correlation(x, y, seen)
    differs = _differs(x, y, seen)
    lost, added = _one_sided(x, y, differs, seen)
    total = float(seen.sum())
    agreement = agrees / textured if textured > 50 else 0.0
    return Overlap(
        float(covered), inside, textured / total, agreement, seen, differs,
        lost / total, added / total, beyond,
    )  # fmt: skip


def _smooth(grey: Float) -> Float:
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), _SMOOTH), np.float32)


def _in_tones_of(moved: Pixels, grey: Float, seen: Mask) -> Float:
    """Return grey values of a photo after the change of tones and colours that a picture underwent.

    The stiffest of three models that fits: the photo's grey times a factor plus an offset; a
    weighted sum of its colours, for turned hues; a curve through medians, for gamma and equalising.
    A curve alone would hide objects: where all that is brown in one picture lies on grey ground in
    the other, it would say that brown has become grey.
    """
    rows = np.flatnonzero(seen)
    rows = rows[:: max(1, len(rows) // 6000)]
    # Fitted where fine texture is averaged away: what is left of it after sampling is noise, and
    # noise flattens a curve.
    wanted = cv2.GaussianBlur(grey, (0, 0), _CALM).ravel()[rows].astype(np.float64)
    calm = cv2.GaussianBlur(moved, (0, 0), _CALM)
    best, error = _linear(_grey(calm), _grey(moved), rows, wanted)
    if error > _FITS:
        for values, off in (
            _linear(calm.reshape(-1, 3), moved.reshape(-1, 3), rows, wanted),
            _along_medians(_grey(calm)[:, 0], _grey(moved)[:, 0], rows, wanted),
        ):
            if off < 0.7 * error:
                best, error = values, off
    return np.clip(best, 0, 255).reshape(grey.shape).astype(np.float32)


def _grey(picture: Pixels) -> Pixels:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8).reshape(-1, 1)


def _linear(calm: Pixels, values: Pixels, rows: Ints, wanted: Floats) -> tuple[Floats, float]:
    """Fit by least absolute deviations, where what differs has no say; tell how far off."""
    given = np.c_[calm[rows], np.ones(len(rows))]
    unclipped = np.where((wanted > 250) | (wanted < 5), 0.01, 1.0)
    weights = unclipped
    for _ in range(6):
        left = given.T * weights
        steady = 0.001 * len(rows) * np.eye(given.shape[1])
        mix = np.linalg.solve(left @ given + steady, left @ wanted)
        weights = unclipped / np.maximum(np.abs(given @ mix - wanted), 2)
    fitted = np.c_[values, np.ones(len(values))] @ mix
    return fitted, _trimmed(np.clip(given @ mix, 0, 255) - wanted)


def _along_medians(
    calm: Pixels, values: Pixels, rows: Ints, wanted: Floats
) -> tuple[Floats, float]:
    """Fit straight lines between the medians of bins of equally many pixels, few at the ends."""
    chosen = calm[rows].astype(np.float64)
    order = np.argsort(chosen, kind="stable")
    cuts = (len(order) * np.array([0.003, 0.01, *np.linspace(0.03, 0.97, 24), 0.99, 0.997])).astype(
        int
    )
    bins = [part for part in np.split(order, cuts) if len(part)]
    x = np.array([np.median(chosen[part]) for part in bins])
    y = np.array([np.median(wanted[part]) for part in bins])
    x, first = np.unique(x, return_index=True)
    fitted = np.interp(values, x, y[first])
    return fitted, _trimmed(np.interp(chosen, x, y[first]) - wanted)


def _trimmed(errors: Floats) -> float:
    """Return the mean absolute error of the better four fifths."""
    return float(np.sort(np.abs(errors))[: max(1, 4 * len(errors) // 5)].mean())


def _textured(grey: Float, where: Mask) -> Mask:
    """Return where the window around has texture; only pixels of `where` count."""
    m = where.astype(np.float32)
    weight = np.maximum(cv2.blur(m, _WINDOW), 1e-6)
    mean = cv2.blur(grey * m, _WINDOW) / weight
    return np.asarray(where & (cv2.blur(grey * grey * m, _WINDOW) / weight - mean**2 > _TEXTURED))


def _correlation(x: Float, y: Float, seen: Mask) -> tuple[int, int]:
    """Count pixels in textured windows, and of those the ones in windows that correlate."""
    m = seen.astype(np.float32)
    weight = np.maximum(cv2.blur(m, _WINDOW), 1e-6)

    def mean(values: Float) -> Float:
        return np.asarray(cv2.blur(values * m, _WINDOW) / weight, np.float32)

    mean_x, mean_y = mean(x), mean(y)
    var_x, var_y = mean(x * x) - mean_x**2, mean(y * y) - mean_y**2
    together = mean(x * y) - mean_x * mean_y
    textured = seen & (var_x > _TEXTURED)
    agrees = textured & (together > 0.5 * np.sqrt(np.maximum(var_x * var_y, 1e-3)))
    return int(textured.sum()), int(agrees.sum())


def _differs(x: Float, y: Float, seen: Mask) -> Mask:
    """Return where neither picture has, within a pixel, what the other one shows."""
    ring = np.ones((3, 3), np.uint8)
    over_y = np.maximum(y - cv2.dilate(x, ring), cv2.erode(x, ring) - y)
    over_x = np.maximum(x - cv2.dilate(y, ring), cv2.erode(y, ring) - x)
    noise = 1.4826 * float(np.median(np.abs(x - y)[seen]))
    low, high = np.quantile(y[seen], (0.02, 0.98))
    least = max(4.0, 6 * noise, 0.06 * float(high - low))
    off = ((np.minimum(over_x, over_y) > least) & seen).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(off, connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= _SPECK
    large[0] = False
    return np.asarray(large[labels])


def _one_sided(x: Float, y: Float, differs: Mask, seen: Mask) -> tuple[int, int]:
    """Return the pixels where one of `x` and `y` has something on its ground, the other not."""
    low, high = np.quantile(y[seen], (0.02, 0.98))
    clear = 0.15 * float(high - low)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        differs.astype(np.uint8), connectivity=8
    )
    lost = added = 0
    for part in range(1, count):
        left, top, width, height, area = stats[part]
        box = (slice(max(0, top - 8), top + height + 8), slice(max(0, left - 8), left + width + 8))
        inner = labels[box] == part
        grown = cv2.dilate(inner.astype(np.uint8), _FIVE) > 0
        wide = cv2.dilate(inner.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
        ground = wide & ~grown & seen[box] & ~differs[box]
        if ground.sum() < 10:
            continue
        stands_out = [_contrast(grey[box], inner, ground) for grey in (x, y)]
        if max(stands_out) > max(clear, 3 * min(stands_out)):
            lost += int(area) if stands_out[0] > stands_out[1] else 0
            added += int(area) if stands_out[1] > stands_out[0] else 0
    return lost, added


def _contrast(grey: Float, inner: Mask, ground: Mask) -> float:
    """Tell how far the tones inside lie from those of the ground, in grey values."""
    q = (0.1, 0.3, 0.5, 0.7, 0.9)
    return float(np.abs(np.quantile(grey[inner], q) - np.quantile(grey[ground], q)).mean())
