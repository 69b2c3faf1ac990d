"""Perceptual hashes and the index of near ones."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autolabel.ops.hashes import NearIndex, dihedral_hashes, hamming, phash, thumbnail

RNG = np.random.default_rng(7)


def photo(width: int, height: int, seed: int = 0) -> np.ndarray:
    """A smooth random picture, uint8 (height, width, 3)."""
    rough = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize(
    ("a", "b", "bits"),
    [
        ("0000000000000000", "0000000000000000", 0),
        ("0000000000000000", "ffffffffffffffff", 64),
        ("8000000000000001", "0000000000000000", 2),
    ],
)
def test_hamming(a, b, bits):
    assert hamming(a, b) == hamming(b, a) == bits


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (31, 7), (640, 480), (2000, 300)])
def test_phash_is_16_hexadecimal_digits_and_repeatable(size):
    picture = photo(*size)
    assert phash(picture) == phash(picture.copy())
    assert re.fullmatch("[0-9a-f]{16}", phash(picture))


@pytest.mark.parametrize("size", [(320, 240), (640, 480), (1600, 1200), (1999, 1501)])
def test_phash_survives_scaling(size):
    # sizes on both sides of where block averaging begins
    assert hamming(phash(photo(*size)), phash(photo(400, 300))) <= 2


def test_phash_tells_pictures_apart():
    hashes = [phash(photo(320, 240, seed)) for seed in range(30)]
    pairs = [(a, b) for i, a in enumerate(hashes) for b in hashes[:i]]
    assert min(hamming(a, b) for a, b in pairs) > 8


def test_dihedral_hashes_are_those_of_the_turned_picture():
    picture = photo(600, 410)
    turned = [np.rot90(side, k) for side in (picture, picture[:, ::-1]) for k in range(4)]
    hashes = dihedral_hashes(picture)
    assert hashes[0] == phash(picture)
    assert len(set(hashes)) == 8
    for ours, theirs in zip(hashes, turned, strict=True):
        assert hamming(ours, phash(np.ascontiguousarray(theirs))) <= 3


def brute_force(hashes: list[str], wanted: str, max_bits: int) -> tuple[int, int] | None:
    distances = [(hamming(h, wanted), i) for i, h in enumerate(hashes)]
    bits, first = min(distances, default=(65, -1))
    return (first, bits) if bits <= max_bits else None


@st.composite
def clustered_hashes(draw: st.DrawFn) -> list[str]:
    """Hashes around a few centres, so that near ones and ties are common."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=3))
    flips = st.lists(st.integers(0, 63), max_size=9)
    drawn = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=25))
    return [f"{centre ^ sum(1 << b for b in set(bits)):016x}" for centre, bits in drawn]


@settings(max_examples=150, deadline=None)
@given(clustered_hashes(), st.integers(0, 12))
def test_find_equals_brute_force(hashes, max_bits):
    index = NearIndex[int](max_bits)
    for i, wanted in enumerate(hashes):
        assert index.find(wanted) == brute_force(hashes[:i], wanted, max_bits)
        index.add(wanted, i)


@pytest.mark.parametrize("max_bits", [2, 6, 9])
def test_find_equals_brute_force_in_crowded_buckets(max_bits):
    # a thousand versions of one picture: most share a band, so buckets are long
    rng = random.Random(max_bits)
    hashes = [f"{sum(1 << b for b in range(64) if rng.random() < 0.06):016x}" for _ in range(1000)]
    index = NearIndex[int](max_bits)
    for i, value in enumerate(hashes):
        index.add(value, i)
    for _ in range(100):
        wanted = f"{sum(1 << b for b in range(64) if rng.random() < 0.1):016x}"
        assert index.find(wanted) == brute_force(hashes, wanted, max_bits)


@pytest.mark.parametrize("bits", range(17))
def test_find_at_exactly_the_limit(bits):
    index = NearIndex[str](bits)
    index.add("0" * 16, "a")
    rng = random.Random(bits)
    for _ in range(5):
        near = sum(1 << b for b in rng.sample(range(64), bits))
        far = sum(1 << b for b in rng.sample(range(64), bits + 1))
        assert index.find(f"{near:016x}") == ("a", bits)
        assert index.find(f"{far:016x}") is None


def test_of_equally_near_hashes_the_earliest_is_found():
    index = NearIndex[str](2)
    index.add("0000000000000003", "first")
    index.add("0000000000000001", "second")
    index.add("0000000000000003", "third")
    assert index.find("0000000000000003") == ("first", 0)
    assert index.find("0000000000000002") == ("first", 1)
    assert index.find("8000000000000001") == ("second", 1)


@pytest.mark.parametrize("max_bits", [-1, 65])
def test_impossible_limit(max_bits):
    with pytest.raises(ValueError, match=f"^max_bits must be from 0 to 64, not {max_bits}$"):
        NearIndex(max_bits)


def test_a_thumbnail_does_not_change_with_brightness_contrast_or_gamma():
    picture = np.repeat(photo(300, 200)[..., :1], 3, axis=2).astype(float)
    first = thumbnail(picture.astype(np.uint8))
    assert first.shape == (32, 32)
    assert np.linalg.norm(first) == pytest.approx(1, abs=1e-5)
    assert first.sum() == pytest.approx(0, abs=1e-4)
    for tones in (picture * 0.5 + 60, 255 * (picture / 255) ** 2, 255 * (picture / 255) ** 0.5):
        assert (first * thumbnail(tones.astype(np.uint8))).sum() > 0.99
    other = thumbnail(photo(300, 200, seed=1))
    assert (first * other).sum() < 0.7


def test_a_thumbnail_of_one_tone_is_all_zeros():
    assert not thumbnail(np.full((40, 50, 3), 90, np.uint8)).any()


def test_of_the_same_picture_the_first_key_stays():
    index = NearIndex[str](3)
    index.add("0" * 16, "first")
    index.add("0" * 16, "second")
    assert index.find(f"{1:016x}") == ("first", 1)
