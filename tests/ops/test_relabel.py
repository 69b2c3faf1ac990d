"""Objects by the new names of their classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.ops.relabel import DROPPED, REPEATED, relabelled
from autolabel.types import Correction, Objects

BOX, NEAR, HALF = [0, 0, 100, 100], [0, 0, 100, 95], [0, 0, 100, 80]
DONE = Correction("confirmed", "ann", None)


def test_names_change_and_all_else_stays() -> None:
    before = Objects.create(
        ["cat", "dog"], [0.5, 0.25], [BOX, NEAR], mask=[b"x", None], prompt=["tom", None],
        keep=[True, False], reason=[None, "area: small"], scores=[{"clip": 0.5}, {}],
        correction=[DONE, None],
    )  # fmt: skip
    after = relabelled(before, {"cat": "feline", "dog": None, "bird": "owl"})
    assert after.label.tolist() == ["feline", "dog"]
    assert after.reason.tolist() == [None, "area: small"], "what was rejected keeps its reason"
    for name in ("score", "xyxy", "mask", "prompt", "scores", "correction", "keep"):
        assert np.array_equal(getattr(after, name), getattr(before, name)), name
    assert before.label.tolist() == ["cat", "dog"]


def test_what_is_dropped_is_rejected_and_says_so() -> None:
    after = relabelled(Objects.create(["cat", "dog"], [0.5, 1], [BOX, BOX]), {"cat": None})
    assert after.keep.tolist() == [False, True]
    assert after.reason.tolist() == [DROPPED, None]


@pytest.mark.parametrize(
    ("labels", "scores", "boxes", "keep"),
    [
        # one object found as two classes: the better one stays, of equals the first
        (["cat", "dog"], [0.5, 0.9], [BOX, NEAR], [False, True]),
        (["dog", "cat"], [0.5, 0.5], [BOX, BOX], [True, False]),
        # boxes that only overlap are two objects, and so are those of one class before
        (["cat", "dog"], [0.5, 0.9], [BOX, HALF], [True, True]),
        (["cat", "cat"], [0.5, 0.9], [BOX, BOX], [True, True]),
        # a class that is not merged has nothing to do with it
        (["cat", "bird"], [0.5, 0.9], [BOX, BOX], [True, True]),
        # what gave way does not push away others
        (["cat", "dog", "cat"], [0.9, 0.8, 0.7], [BOX, BOX, BOX], [True, False, True]),
    ],
)
def test_boxes_of_merged_classes_that_coincide(
    labels: list[str], scores: list[float], boxes: list, keep: list[bool]
) -> None:
    found = Objects.create(labels, scores, boxes)
    after = relabelled(found, {"cat": "pet", "dog": "pet", "bird": "bird"})
    assert after.keep.tolist() == keep
    assert after.reason.tolist() == [None if kept else REPEATED for kept in keep]


def test_a_class_that_others_are_merged_into_counts_too() -> None:
    found = Objects.create(["cat", "pet"], [0.9, 0.5], [BOX, BOX])
    assert relabelled(found, {"cat": "pet", "pet": "pet"}).keep.tolist() == [True, False]


def test_what_a_person_corrected_is_never_the_worse_one() -> None:
    new = {"cat": "pet", "dog": "pet"}
    found = Objects.create(["cat", "dog"], [0.9, 0.1], [BOX, BOX], correction=[None, DONE])
    after = relabelled(found, new)
    assert after.keep.tolist() == [False, True]
    assert after.correction.tolist() == [None, DONE]
    both = Objects.create(["cat", "dog"], [0.9, 0.1], [BOX, BOX], correction=[DONE, DONE])
    assert relabelled(both, new).keep.all()


def test_rejected_objects_push_nothing_away() -> None:
    found = Objects.create(["cat", "dog"], [0.9, 0.1], [BOX, BOX], keep=[False, True])
    assert relabelled(found, {"cat": "pet", "dog": "pet"}).keep.tolist() == [False, True]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcd"), st.sampled_from([0.1, 0.5, 0.9]),
            st.sampled_from([BOX, NEAR, HALF]), st.booleans(), st.booleans(),
        ),
        max_size=12,
    ),
    st.dictionaries(st.sampled_from("abcd"), st.sampled_from(["a", "b", "x", None])),
)  # fmt: skip
def test_nothing_is_invented_moved_or_kept_again(rows: list, new: dict[str, str | None]) -> None:
    label, score, xyxy, keep, locked = zip(*rows, strict=True) if rows else ([], [], [], [], [])
    before = Objects.create(
        label, score, np.array(xyxy).reshape(-1, 4), keep=keep,
        correction=[DONE if one else None for one in locked],
    )  # fmt: skip
    after = relabelled(before, new)
    assert np.array_equal(after.xyxy, before.xyxy)
    assert not (after.keep & ~before.keep).any()
    for old, name in zip(before.label, after.label, strict=True):
        assert name == (new.get(old, old) or old)
    gone = before.keep & ~after.keep
    assert set(after.reason[gone]) <= {DROPPED, REPEATED}
    kept_of_people = [
        (kept, new.get(old, old) is not None)
        for old, kept, was, one in zip(
            before.label, after.keep, before.keep, before.locked, strict=True
        )
        if one and was
    ]
    assert all(kept == stays for kept, stays in kept_of_people)
    again = relabelled(after, {})
    assert again == after
    counts = Counter(after.label[after.keep])
    assert all(counts[name] for name in set(after.label[after.reason == REPEATED]))
