from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from autolabel.ops.masks import areas, boxes, clean, decode, encode, fits, iou

Masks = npt.NDArray[np.bool_]

SIZES = hnp.array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=12)
MASKS = hnp.arrays(bool, SIZES)


@given(MASKS)
def test_there_and_back(masks: Masks) -> None:
    counts = encode(masks)
    assert all(isinstance(one, bytes) for one in counts)
    assert np.array_equal(decode(counts, *masks.shape[1:]), masks)


@given(MASKS)
def test_areas_and_boxes_are_those_of_the_pixels(masks: Masks) -> None:
    _, height, width = masks.shape
    counts = encode(masks)
    assert areas(counts, height, width).tolist() == masks.sum(axis=(1, 2)).tolist()
    for mask, box in zip(masks, boxes(counts, height, width), strict=True):
        ys, xs = np.nonzero(mask)
        expected = [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1] if len(xs) else [0, 0, 0, 0]
        assert box.tolist() == expected


@given(MASKS)
def test_iou_is_that_of_the_pixels(masks: Masks) -> None:
    _, height, width = masks.shape
    counts = encode(masks)
    both = (masks[:, None] & masks[None]).sum(axis=(2, 3))
    either = (masks[:, None] | masks[None]).sum(axis=(2, 3))
    expected = both / np.maximum(either, 1)
    np.testing.assert_allclose(iou(counts, counts, height, width), expected)


def test_nothing_at_all() -> None:
    assert encode(np.zeros((0, 4, 5), bool)) == []
    assert decode([], 4, 5).shape == (0, 4, 5)
    assert areas([], 4, 5).shape == (0,)
    assert boxes([], 4, 5).shape == (0, 4)
    assert iou([], encode(np.ones((2, 4, 5), bool)), 4, 5).shape == (0, 2)


@given(MASKS, st.integers(0, 20), st.integers(0, 20))
def test_clean_drops_small_parts_and_fills_small_holes_and_nothing_else(
    masks: Masks, speck: int, hole: int
) -> None:
    mask = masks[0]
    before = mask.copy()
    tidy = clean(mask, speck, hole)
    assert np.array_equal(mask, before)
    assert tidy.any() == mask.any()
    parts, count = ndimage.label(mask, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=1)[1:]
    largest = sizes.max(initial=0)
    for i in range(count):
        stays = tidy[parts == i + 1]
        assert stays.all() or not stays.any()
        if sizes[i] >= speck or (sizes[i] == largest and (sizes == largest).sum() == 1):
            assert stays.all()
    if hole:
        gaps, count = ndimage.label(np.pad(~tidy, 1, constant_values=True))
        for i in range(2, count + 1):
            assert (gaps == i).sum() > hole
    if not hole:
        assert not (tidy & ~mask).any()
    if not speck:
        assert not (mask & ~tidy).any()


def test_a_bay_at_the_border_is_no_hole() -> None:
    mask = np.ones((5, 5), bool)
    mask[2, 0] = mask[2, 3] = False
    tidy = clean(mask, 0, 3)
    assert not tidy[2, 0]
    assert tidy[2, 3]


def test_damaged_runs_are_told_from_whole_ones() -> None:
    rng = np.random.default_rng(0)
    whole: list[bytes] = []
    pixels: list[int] = []
    for _ in range(300):
        height, width = rng.integers(1, 60, 2)
        dense = rng.random((1, height, width)) < rng.choice([0, 0.01, 0.1, 0.5, 1])
        whole += encode(dense)
        pixels.append(height * width)
    assert fits(whole, pixels).all()
    assert not fits(whole, np.array(pixels) + 1).any()
    assert not fits([one[:-1] for one in whole], pixels).any()
    again = [fits([one], size)[0] for one, size in zip(whole, pixels, strict=True)]
    assert all(again)
    assert fits([], 5).shape == (0,)
    # Differences of 2^64 that would add up to the right sum if the integers wrapped round.
    assert not fits([b"oooooooooooooooooooo0" * 9], 9).any()
