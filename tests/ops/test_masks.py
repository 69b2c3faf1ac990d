from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage

from autolabel.ops.masks import (
    areas,
    boxes,
    clean,
    crop_of,
    cut,
    decode,
    encode,
    fits,
    from_counts,
    iou,
    pasted,
    stability,
    union,
)

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
        elif sizes[i] < largest:
            assert not stays.any()
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


@pytest.mark.parametrize(("speck", "left"), [(0, 15), (1, 15), (2, 14), (3, 12), (4, 9), (99, 9)])
def test_a_speck_has_fewer_pixels_than_were_named(speck: int, left: int) -> None:
    mask = np.zeros((9, 9), bool)
    mask[0, 0] = mask[3, :2] = mask[6, :3] = True
    mask[:3, 6:] = True
    assert clean(mask, speck, 0).sum() == left


def test_a_line_along_a_diagonal_is_one_part_and_closes_a_hole() -> None:
    mask = np.eye(9, dtype=bool)
    mask[0, 7:] = True
    assert clean(mask, 5, 0).sum() == 9
    ring = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 0]], bool)
    assert clean(np.pad(ring, 1), 0, 1).sum() == 5
    assert clean(np.pad(ring, 1), 0, 0).sum() == 4


@given(
    st.tuples(*[st.floats(0, 12, width=32)] * 4),
    st.sampled_from([0.0, 0.125, 0.5, 4.0]),
    st.integers(1, 12),
    st.integers(1, 12),
)
def test_cut_leaves_the_pixels_whose_centres_are_within_the_margin(
    corners: tuple[float, ...], margin: float, height: int, width: int
) -> None:
    x1, x2 = sorted(corners[:2])
    y1, y2 = sorted(corners[2:])
    found = cut(np.ones((height, width), bool), np.array([x1, y1, x2, y2], np.float32), margin)
    dx, dy = margin * (x2 - x1), margin * (y2 - y1)
    for y in range(height):
        for x in range(width):
            across = x1 - dx <= x + 0.5 <= x2 + dx
            assert found[y, x] == (across and y1 - dy <= y + 0.5 <= y2 + dy)


@given(hnp.arrays(np.float32, (3, 4, 5), elements=st.floats(-4, 4, width=16)))
def test_stability_is_the_iou_of_masks_at_two_thresholds(
    logits: npt.NDArray[np.float32],
) -> None:
    tight, loose = logits > 1.5, logits > -0.5
    both, either = (tight & loose).sum(axis=(1, 2)), (tight | loose).sum(axis=(1, 2))
    expected = both / np.maximum(either, 1)
    np.testing.assert_allclose(stability(logits, 0.5, 1.0), expected, rtol=1e-6)


@given(hnp.arrays(bool, SIZES.filter(lambda s: s[0] == 1) | st.just((1, 3, 4))), st.data())
def test_runs_of_others_may_have_empty_ones_between(masks: Masks, data: st.DataObject) -> None:
    _, height, width = masks.shape
    flat = masks[0].ravel(order="F")
    runs, value = [], False
    while len(flat):
        length = int(np.argmax(flat != value)) if (flat != value).any() else len(flat)
        if length > 1 and data.draw(st.booleans()):
            runs += [1, 0]
            length -= 1
            flat = flat[1:]
        runs.append(length)
        flat, value = flat[length:], not value
    counts = from_counts(runs, height, width)
    assert fits([counts], height * width).all()
    assert np.array_equal(decode([counts], height, width)[0], masks[0])
    assert from_counts(counts.decode(), height, width) == counts


@pytest.mark.parametrize(
    "counts",
    [[3, 4], [9, 3, -4], [6.0], ["6"], "33", "3é3", "", b"33", None, {"counts": [6]}, [True] * 5],
    ids=repr,
)
def test_runs_that_do_not_cover_the_image_are_refused(counts: object) -> None:
    with pytest.raises(ValueError, match="damaged"):
        from_counts(counts, 2, 4)


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


def test_a_run_of_length_zero_or_over_32_bits_is_damage() -> None:
    assert fits([b"063"], 9).all(), "at the start it is not"
    assert not fits([b"303000"], 9).any()  # runs 3, 0, 3, …
    assert fits([b"Y0"], 9).all(), "an empty group of bits is none"
    assert not fits([b"Y" + b"P" * 6 + b"0"], 9).any()


@given(MASKS, st.integers(0, 3), st.integers(0, 3), st.integers(0, 3), st.integers(0, 3))
def test_a_crop_in_its_place_is_the_mask(
    masks: Masks, top: int, left: int, below: int, right: int
) -> None:
    """Also where its columns reach from the top to the bottom, and runs join."""
    crop = masks[0]
    whole = np.pad(crop, ((top, below), (left, right)))
    (encoded,) = encode(whole[None])
    assert pasted(crop, top, left, *whole.shape) == encoded
    found, y, x = crop_of(encoded, *whole.shape)
    assert (found.size == 0) == (not crop.any())
    if crop.any():
        assert pasted(found, y, x, *whole.shape) == encoded
        edges = (found[0], found[-1], found[:, 0], found[:, -1])
        assert all(edge.any() for edge in edges)


@given(MASKS)
def test_a_union_covers_what_any_covers(masks: Masks) -> None:
    encoded = encode(masks)
    (covered,) = decode([union(encoded, *masks.shape[1:])], *masks.shape[1:])
    assert (covered == masks.any(axis=0)).all()
