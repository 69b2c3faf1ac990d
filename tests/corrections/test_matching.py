from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autolabel.corrections.matching import match_objects
from autolabel.ops import masks
from autolabel.types import Objects

SIZE = (100, 80)


def objects(*rows: tuple[str, list[float]], mask: list[bytes | None] | None = None) -> Objects:
    return Objects.create(
        [label for label, _ in rows],
        [1] * len(rows),
        np.array([box for _, box in rows], float).reshape(-1, 4),
        mask=mask,
    )


A, B, C = [0.0, 0, 10, 10], [30.0, 30, 50, 50], [60.0, 60, 70, 70]


def test_each_object_is_what_became_of_it() -> None:
    before = objects(("cat", A), ("cat", B), ("dog", C), ("cat", [80, 0, 90, 10]))
    after = objects(
        ("cat", [33.0, 30, 50, 50]),
        ("cat", [0.3, 0, 10.4, 10]),
        ("cat", C),
        ("bird", [5, 60, 9, 70]),
    )
    found = match_objects(before, after, SIZE)
    assert found.same == [(0, 1)]
    assert found.moved == [(1, 0)]
    assert found.relabelled == [(2, 2)]
    assert (found.removed, found.added) == ([3], [3])
    assert found.changed


def test_rounding_changes_nothing_and_two_pixels_do() -> None:
    near, far = [0.9, 0, 10, 10], [2.0, 0, 10, 10]
    assert match_objects(objects(("cat", A)), objects(("cat", near)), SIZE).same == [(0, 0)]
    assert match_objects(objects(("cat", A)), objects(("cat", far)), SIZE).moved == [(0, 0)]


def test_another_mask_in_the_same_box_is_a_change_and_no_mask_is_none() -> None:
    full, half = np.zeros((2, 80, 100), bool)
    full[:10, :10] = half[:10, :5] = True
    whole, part = masks.encode(np.stack([full, half]))
    one = objects(("cat", A), mask=[whole])
    assert match_objects(one, objects(("cat", A), mask=[part]), SIZE).moved == [(0, 0)]
    assert match_objects(one, objects(("cat", A)), SIZE).same == [(0, 0)]


def test_the_box_around_a_mask_is_no_change() -> None:
    """Brush masks and outlines come back without the box that their object had."""
    pixels = np.zeros((1, 80, 100), bool)
    pixels[0, 35:45, 34:48] = True
    drawn = masks.encode(pixels)
    before, around = objects(("cat", B), mask=drawn), [34.0, 35, 48, 45]
    assert match_objects(before, objects(("cat", around), mask=drawn), SIZE).same == [(0, 0)]
    assert match_objects(before, objects(("cat", around)), SIZE).same == []
    pixels[0, 35:40] = False
    assert match_objects(before, objects(("cat", around), mask=masks.encode(pixels)), SIZE).changed


def test_of_two_alike_the_nearer_is_the_same_one() -> None:
    before = objects(("cat", A), ("cat", [0.5, 0, 10.5, 10]))
    after = objects(("cat", [0.5, 0, 10.5, 10]))
    found = match_objects(before, after, SIZE)
    assert found.same == [(1, 0)]
    assert found.removed == [0]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["cat", "dog"]),
            st.tuples(
                st.integers(0, 60), st.integers(0, 50), st.integers(1, 30), st.integers(1, 30)
            ),
        ),
        max_size=12,
    ),
    st.randoms(use_true_random=False),
)
def test_the_same_labels_in_another_order_are_the_same(
    rows: list[tuple[str, tuple[int, int, int, int]]], random: object
) -> None:
    listed = [
        (label, [float(x), float(y), float(x + w), float(y + h)]) for label, (x, y, w, h) in rows
    ]
    shuffled = listed.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = match_objects(objects(*listed), objects(*shuffled), SIZE)
    assert len(found.same) == len(rows)
    assert not found.changed


def test_ten_thousand_objects_are_matched_in_bounded_memory() -> None:
    i = np.arange(10_000)
    xyxy = np.stack([i % 100, i // 100, i % 100 + 1, i // 100 + 1], axis=1) * 10.0
    many = Objects.create(["cat"] * len(i), np.ones(len(i)), xyxy)
    assert len(match_objects(many, many[::-1], (1000, 1000)).same) == 10_000
