from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from autolabel.corrections.overlay import REPEATED, overlay
from autolabel.types import Correction, Objects


def machine(*rows: tuple[str, list[float]], keep: list[bool] | None = None) -> Objects:
    labels, boxes = zip(*rows, strict=True) if rows else ((), ())
    return Objects.create(labels, [0.5] * len(rows), np.array(boxes).reshape(-1, 4), keep=keep)


def people(*rows: tuple[str, list[float], str]) -> Objects:
    """Class, box and action; what is deleted is not kept."""
    gone = [action == "deleted" for _, _, action in rows]
    return Objects.create(
        [label for label, _, _ in rows],
        [1] * len(rows),
        np.array([box for _, box, _ in rows]).reshape(-1, 4),
        keep=[not one for one in gone],
        reason=["person: deleted" if one else None for one in gone],
        correction=[Correction(action) for _, _, action in rows],
    )


def kept(objects: Objects) -> list[tuple[str, list[float]]]:
    objects = objects.kept
    return list(zip(objects.label.tolist(), objects.xyxy.tolist(), strict=True))


A, NEAR_A, FAR = [0.0, 0, 10, 10], [1.0, 0, 11, 10], [50.0, 50, 60, 60]


def test_what_people_left_takes_the_place_of_the_box_that_it_stands_for() -> None:
    done = overlay(machine(("cat", FAR), ("cat", NEAR_A)), people(("cat", A, "moved")))
    assert kept(done) == [("cat", FAR), ("cat", A)]
    assert done.locked.tolist() == [False, True]


def test_what_people_drew_comes_last() -> None:
    done = overlay(machine(("cat", FAR)), people(("dog", A, "drawn")))
    assert kept(done) == [("cat", FAR), ("dog", A)]


def test_what_people_deleted_does_not_come_back_a_little_aside() -> None:
    done = overlay(machine(("cat", NEAR_A), ("dog", NEAR_A)), people(("cat", A, "deleted")))
    assert kept(done) == [("dog", NEAR_A)]
    assert done.reason.tolist() == ["person: deleted", None]


def test_a_neighbour_of_what_was_deleted_stays() -> None:
    twin = [2.0, 0, 12, 10]
    done = overlay(machine(("cat", twin), ("cat", NEAR_A)), people(("cat", A, "deleted")))
    assert kept(done) == [("cat", twin)]


def test_a_box_in_the_place_of_a_person_s_object_goes_whatever_its_class() -> None:
    done = overlay(machine(("cat", A), ("dog", A)), people(("dog", A, "relabelled")))
    assert kept(done) == [("dog", A)]
    assert done.reason.tolist() == [REPEATED, None]


def test_what_a_stage_rejected_stays_rejected_with_its_reason() -> None:
    before = machine(("cat", A), keep=[False])
    done = overlay(before, people(("cat", A, "drawn")))
    assert done.keep.tolist() == [False, True]
    assert kept(done) == [("cat", A)]


boxes = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 20)] * 2).map(
    lambda b: [float(b[0]), float(b[1]), float(b[0] + b[2]), float(b[1] + b[3])]
)
labels = st.sampled_from(["cat", "dog"])


@given(
    st.lists(st.tuples(labels, boxes), max_size=6),
    st.lists(
        st.tuples(labels, boxes, st.sampled_from(["drawn", "confirmed", "deleted"])),
        max_size=6,
        unique_by=lambda row: (row[0], *row[1]),
    ),
)
def test_people_s_objects_are_there_bit_for_bit_whatever_the_machine_found(
    found: list[tuple[str, list[float]]], said: list[tuple[str, list[float], str]]
) -> None:
    done = overlay(machine(*found), people(*said))
    locked = done[done.locked]
    wanted = people(*said).kept
    key = [(r[0], *r[1]) for r in zip(locked.label, locked.xyxy.tolist(), strict=True)]
    assert sorted(key) == sorted(
        (r[0], *r[1]) for r in zip(wanted.label, wanted.xyxy.tolist(), strict=True)
    )
    assert locked.keep.all()
    # Nothing vanishes: each of the machine's boxes is there, or a person's object in its place.
    assert len(done) == len(found) + len(locked) - sum(
        1 for i in range(len(done)) if done.locked[i] and i < len(found)
    )
    for label, box, action in said:
        if action == "deleted" and found.count((label, box)) == 1:
            assert (label, box) not in kept(done[~done.locked])
