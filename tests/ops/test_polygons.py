from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image, ImageDraw
from scipy import ndimage

from autolabel.datasets.coco_json import from_coco, to_coco
from autolabel.ops.masks import areas, decode, encode, iou
from autolabel.ops.polygons import covered, from_polygons, one_ring, outlines, to_polygons
from autolabel.types import Objects, Record, from_table, to_table

Mask = npt.NDArray[np.bool_]
HEIGHT, WIDTH = 60, 80
MASKS = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def hole_and_three_parts() -> Mask:
    """A ring, a disc that touches the border, and a small square."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(xs - 25, ys - 30)
    mask = (distance < 20) & (distance > 8)
    mask |= np.hypot(xs - 70, ys - 5) < 12
    mask[50:54, 60:64] = True
    return mask


def blob(seed: int) -> Mask:
    """Smooth random shapes of several parts with holes."""
    noise = np.random.default_rng(seed).standard_normal((HEIGHT, WIDTH))
    return ndimage.gaussian_filter(noise, 4) > 0.03


def parts_and_holes(mask: Mask) -> tuple[int, int]:
    # contourpy lets pixels that touch at a corner be one part or two; these masks have none
    parts = ndimage.label(mask)[1]
    return parts, ndimage.label(np.pad(~mask, 1, constant_values=True))[1] - 1


@given(MASKS)
@settings(deadline=None)
def test_without_tolerance_nothing_is_lost(mask: Mask) -> None:
    counts = encode(mask[None])[0]
    parts, loss = to_polygons(counts, *mask.shape, tolerance_px=0)
    assert loss == (0 if mask.any() else 0.0)
    assert np.array_equal(decode([from_polygons(parts, *mask.shape)], *mask.shape)[0], mask)


@given(st.integers(0, 1000), st.sampled_from([0.25, 0.5, 1.0, 3.0]))
@settings(max_examples=30, deadline=None)
def test_no_part_and_no_hole_vanishes(seed: int, tolerance_px: float) -> None:
    mask = blob(seed)
    parts, loss = to_polygons(encode(mask[None])[0], HEIGHT, WIDTH, tolerance_px)
    rings = (len(parts), sum(len(part.holes) for part in parts))
    exact, none_lost = to_polygons(encode(mask[None])[0], HEIGHT, WIDTH, 0)
    assert none_lost == 0
    assert rings == (len(exact), sum(len(part.holes) for part in exact))
    assert 0 <= loss < 0.1 + 0.3 * tolerance_px


def test_a_hole_and_three_parts_through_polygons() -> None:
    mask = hole_and_three_parts()
    assert parts_and_holes(mask) == (3, 1)
    counts = encode(mask[None])[0]
    parts, loss = to_polygons(counts, HEIGHT, WIDTH, tolerance_px=0.5)
    assert [len(part.holes) for part in parts] == [0, 1, 0]
    assert loss < 0.05
    back = from_polygons(parts, HEIGHT, WIDTH)
    assert iou([counts], [back], HEIGHT, WIDTH)[0, 0] == pytest.approx(1 - loss)
    assert parts_and_holes(decode([back], HEIGHT, WIDTH)[0]) == (3, 1)
    # simplified: fewer points than the exact outline has
    exact, _ = to_polygons(counts, HEIGHT, WIDTH, tolerance_px=0)
    assert sum(len(p.outer) for p in parts) < 0.7 * sum(len(p.outer) for p in exact)


def test_a_hole_and_three_parts_as_one_ring() -> None:
    mask = hole_and_three_parts()
    counts = encode(mask[None])[0]
    parts, _ = to_polygons(counts, HEIGHT, WIDTH, tolerance_px=0.5)
    ring = one_ring(parts)
    assert ring.shape[1] == 2
    image = Image.new("1", (4 * WIDTH, 4 * HEIGHT))
    ImageDraw.Draw(image).polygon([tuple(p) for p in 4 * ring], fill=1)
    drawn = np.array(image)[2::4, 2::4]
    assert (drawn & mask).sum() / (drawn | mask).sum() > 0.9
    assert parts_and_holes(ndimage.binary_opening(drawn, np.ones((2, 2)))) == (3, 1)


def filled(ring: npt.NDArray[np.float64], height: int, width: int) -> tuple[Mask, Mask]:
    """The pixels whose centres a path encloses, by the even-odd and by the non-zero rule."""
    ys, xs = np.mgrid[:height, :width] + 0.5
    crossings, winding = np.zeros((height, width), int), np.zeros((height, width), int)
    for (x1, y1), (x2, y2) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        if y1 != y2:
            over = (min(y1, y2) <= ys) & (ys < max(y1, y2))
            hit = over & (x1 + (ys - y1) * (x2 - x1) / (y2 - y1) > xs)
            crossings += hit
            winding += np.where(hit, 1 if y2 > y1 else -1, 0)
    return crossings % 2 == 1, winding != 0


@given(MASKS)
@settings(max_examples=60, deadline=None)
def test_one_ring_fills_what_the_parts_fill(mask: Mask) -> None:
    if not mask.any():
        return
    height, width = mask.shape
    for drawn in filled(one_ring(outlines(encode(mask[None])[0], height, width, 0)), height, width):
        assert np.array_equal(drawn, mask)


def test_one_ring_of_a_noisy_mask_takes_no_square_of_its_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    noise = np.random.default_rng(0).standard_normal((240, 320))
    mask = ndimage.gaussian_filter(noise, 1) > 0
    parts = outlines(encode(mask[None])[0], *mask.shape)
    rings = [ring for part in parts for ring in (part.outer, *part.holes)]
    points = sum(map(len, rings))
    assert len(rings) > 500
    copied = [0]
    concatenate = np.concatenate

    def counted(arrays: Sequence[Any], *args: Any, **kwargs: Any) -> Any:
        copied[0] += sum(map(len, arrays))
        return concatenate(arrays, *args, **kwargs)

    monkeypatch.setattr(np, "concatenate", counted)
    path = one_ring(parts)
    assert len(path) == points + 2 * (len(rings) - 1)
    assert copied[0] < 20 * points


def test_a_hole_and_three_parts_through_store_and_coco() -> None:
    mask = hole_and_three_parts()
    counts = encode(mask[None])
    objects = Objects.create(["ring"], [1.0], [[5, 0, 80, 54]], mask=counts)
    record = Record("0" * 32, "a.png", WIDTH, HEIGHT, objects=objects)
    (stored,) = from_table(to_table([record]))
    assert stored.objects.mask.tolist() == counts
    data = to_coco([stored], ["ring"], ["a.png"])
    assert len(data["annotations"]) == 1
    assert data["annotations"][0]["area"] == mask.sum()
    _, (image,) = from_coco(data)
    assert iou(counts, [image.objects.mask[0]], HEIGHT, WIDTH)[0, 0] == 1.0


def test_an_empty_mask_has_no_outline() -> None:
    counts = encode(np.zeros((1, 5, 6), bool))[0]
    assert to_polygons(counts, 5, 6) == ([], 0.0)
    assert areas([from_polygons([], 5, 6)], 5, 6).tolist() == [0]
    with pytest.raises(ValueError, match="no outline"):
        one_ring([])


def test_parts_come_from_the_top_down_and_then_from_the_left() -> None:
    mask = np.zeros((20, 20), bool)
    for y, x in ((15, 2), (3, 12), (9, 16), (3, 4)):
        mask[y : y + 2, x : x + 2] = True
    mask[6:8, :15] = mask[3:8, 15] = True  # it begins as far up as two others, and reaches left
    parts = outlines(encode(mask[None])[0], 20, 20, 0)
    tops = [(part.outer[:, 1].min(), part.outer[:, 0].min()) for part in parts]
    assert tops == sorted(tops)
    assert len(tops) == 5


SQUARE, BESIDE = [1, 1, 3, 1, 3, 3, 1, 3], [4, 1, 6, 1, 6, 3, 4, 3]


@pytest.mark.parametrize(
    ("polygons", "pixels"),
    [
        ([SQUARE], 4),
        ([SQUARE, BESIDE], 8),
        ([SQUARE, SQUARE], 4),
        ([[[1, 1], [3, 1], [3, 3], [1, 3]]], 4),
        ([SQUARE, [0, 0, 6, 6]], 4),  # four numbers are no box
        ([SQUARE, [1, 1, 5, 5, 3, 3, 9]], 4),
        ([SQUARE, [0, 0, float("nan"), 0, 5, 5]], 4),
        ([SQUARE, [0, 0, float("inf"), 0, 5, 5]], 4),
        ([[-1e12, -1e12, 1e12, -1e12, 1e12, 1e12, -1e12, 1e12]], 80),
        ([[0, 0, 6, 6]], None),
        ([], None),
        (None, None),
        (["a"], None),
        ([[1, "x", 2, 2, 3, 3]], None),
        ([[10**400] * 6], None),
    ],
)
def test_polygons_of_others_cover_what_they_enclose_together(
    polygons: object, pixels: int | None
) -> None:
    counts = covered(polygons, 8, 10)
    assert (counts and areas([counts], 8, 10)[0]) == pixels


def test_an_outline_that_is_too_long_to_fill_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.ops.polygons._LONGEST_OUTLINE", 100)
    assert covered([[0, 0, 20, 0, 20, 20, 0, 20]], 30, 30) is not None
    with pytest.raises(ValueError, match="pixels long"):
        covered([[0, 0, 30, 0] * 4], 30, 30)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (1, 9), (9, 1), (2, 2)])
@pytest.mark.parametrize("corner", [(0, 0), (7, 3), (39, 51)])
def test_what_is_a_pixel_thin_keeps_its_pixels(
    height: int, width: int, corner: tuple[int, int]
) -> None:
    mask = np.zeros((48, 60), bool)
    mask[corner[0] : corner[0] + height, corner[1] : corner[1] + width] = True
    (counts,) = encode(mask[None])
    assert from_polygons(outlines(counts, 48, 60), 48, 60) == counts


def test_a_slanting_line_keeps_its_pixels() -> None:
    (counts,) = encode(np.eye(48, 60, dtype=bool)[None])
    assert from_polygons(outlines(counts, 48, 60), 48, 60) == counts


def test_a_thin_frame_keeps_its_pixels() -> None:
    mask = np.zeros((1, 20, 13), bool)
    mask[0, [0, -1], :] = mask[0, :, [0, -1]] = True
    (counts,) = encode(mask)
    assert from_polygons(outlines(counts, 20, 13), 20, 13) == counts
