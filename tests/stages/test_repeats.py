"""Repeats: what a row says of the holdout and of the rows before it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from autolabel.stages.repeats import Mark, MarkRepeats, find_repeats
from autolabel.stages.scan import Scan
from autolabel.types import Objects, Record
from tests.stages.test_scan import picture

# --- find_repeats


def row(name: str, bits: int = 0, **changes: object) -> Record:
    """A scanned row whose hash has the given bits; its id is its name's first letter, 32 times."""
    image_id = name[0] * 32
    record = Record(image_id, f"{name}.jpg", 640, 480, group=image_id, phash=f"{bits:016x}")
    return replace(record, **changes)  # type: ignore[arg-type]


def key(record: Record) -> tuple[str, str]:
    return record.uri, record.image_id


FAR = 0xFFFF_FFFF  # 32 bits away from 0


@pytest.mark.parametrize(
    ("rows", "holdout", "expected"),
    [
        pytest.param([row("a"), row("b", FAR)], [], {}, id="nothing repeats"),
        pytest.param(
            [row("a"), row("a2")],
            [],
            {"a2": Mark("duplicate", "a" * 32, "equal to a.jpg")},
            id="equal bytes",
        ),
        pytest.param(
            [row("a"), row("b", 0b11), row("c", 0b111)],
            [],
            {
                "b": Mark("pool", "a" * 32, "near a.jpg (2 bits)"),
                "c": Mark("pool", "a" * 32, "near b.jpg (1 bit)"),  # b's group is a's
            },
            id="near rows share the first one's group",
        ),
        pytest.param(
            [row("a"), row("b", 0b111), row("b2", 0b111)],
            [],
            {
                "b": Mark("pool", "a" * 32, "near a.jpg (3 bits)"),
                "b2": Mark("duplicate", "a" * 32, "equal to b.jpg"),
            },
            id="a duplicate is in the group of what it equals",
        ),
        pytest.param([row("a"), row("b", 0b1111)], [], {}, id="4 bits are not within 3"),
        pytest.param(
            [row("h"), row("h2"), row("b", 1), row("c", FAR)],
            [row("held", uri="test/h.jpg"), row("i", FAR)],
            {
                "h": Mark("leak", "h" * 32, "equal to held-out test/h.jpg"),
                "h2": Mark("leak", "h" * 32, "equal to held-out test/h.jpg"),  # not "duplicate"
                "b": Mark("leak", "h" * 32, "near held-out test/h.jpg (1 bit)"),
                "c": Mark("leak", "i" * 32, "near held-out i.jpg (0 bits)"),
            },
            id="leaks go first",
        ),
        pytest.param(
            [row("a"), row("b", 0b11)],
            [row("h", 0b1111)],  # 4 bits from a
            {"b": Mark("leak", "h" * 32, "near held-out h.jpg (2 bits)")},
            id="what is near a held-out photo and an earlier row is a leak",
        ),
        pytest.param(
            [row("a", 0b1), row("b", 0b111111)],
            [row("h", 0b11111111)],
            {"b": Mark("leak", "h" * 32, "near held-out h.jpg (2 bits)")},
            id="a leaked row is no earlier row in use",
        ),
        pytest.param(
            [row("a", error="empty file"), row("a2", error="empty file"), row("b"), row("c", FAR)],
            [row("b", error="missing"), row("h", FAR, error="missing")],
            {},
            id="rows with an error are never matched",
        ),
        pytest.param([row("a", phash=None), row("b", phash=None)], [], {}, id="no hash"),
    ],
)
def test_find_repeats(rows, holdout, expected):
    marks = find_repeats(iter(rows), holdout, near_bits=3)
    assert {uri.removesuffix(".jpg"): mark for (uri, _), mark in marks.items()} == expected


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (Mark("leak", "h" * 32, "made from held-out h.jpg"), "leak"),
        (Mark("pool", "h" * 32, "near held-out h.jpg"), "pool"),
    ],
)
def test_what_the_guard_found_counts_for_a_photo_that_is_near_another_too(found, expected):
    rows = [row("a"), row("b", 0b1), row("c", 0b1111)]
    marks = find_repeats(rows, near_bits=3, held_out={key(rows[1]): found})
    assert marks[key(rows[1])] == found
    near_b = Mark("pool", "h" * 32, "near b.jpg (3 bits)")
    assert marks.get(key(rows[2])) == {"leak": None, "pool": near_b}[expected]


def test_near_bits_of_minus_one_leaves_equal_bytes():
    rows = [row("a"), row("b"), row("a2"), row("h", 1)]
    marks = find_repeats(rows, [row("held", 2)], near_bits=-1)
    assert [mark.note for mark in marks.values()] == [
        "equal to a.jpg",
        "equal to held-out held.jpg",
    ]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("abcdefgh"), st.integers(0, 255)), max_size=20),
    st.lists(st.tuples(st.sampled_from("gh"), st.integers(0, 255)), max_size=2),
    st.integers(-1, 4),
    st.integers(0, 20),
)
def test_marks_of_earlier_rows_never_change_when_rows_are_appended(rows, held, near_bits, cut):
    records = [row(f"{name}{i}", bits) for i, (name, bits) in enumerate(rows)]
    holdout = [row(f"{name}{i}", bits) for i, (name, bits) in enumerate(held)]
    whole = find_repeats(records, holdout, near_bits=near_bits)
    before = find_repeats(records[:cut], holdout, near_bits=near_bits)
    assert before == {k: whole[k] for k in map(key, records[:cut]) if k in whole}


@pytest.mark.parametrize("turn", list(Image.Transpose))
def test_turned_and_mirrored_held_out_photos_leak(tmp_path, turn):
    picture(400, 260).save(tmp_path / "held.png")
    picture(400, 260).transpose(turn).resize((300, 300)).save(tmp_path / "a.png")
    picture(400, 260, seed=1).save(tmp_path / "b.png")
    scan = Scan(tmp_path)
    holdout = scan.held_out(Record("", "held.png"))
    assert len(holdout) == 8
    assert holdout[0] == scan.prepare(Record("", "held.png"))
    rows = [scan.prepare(Record("", name)) for name in ("a.png", "b.png")]
    marks = find_repeats(rows, holdout, near_bits=6)
    assert list(marks) == [key(rows[0])]
    assert marks[key(rows[0])].note.startswith("near held-out held.png (")


# --- MarkRepeats


def marked(record: Record, mark: Mark | None = None, **rules: float) -> Record:
    marks = {} if mark is None else {key(record): mark}
    stage = MarkRepeats(marks, **{"min_side": 0, "max_aspect": 0.0} | rules)
    [result] = stage([record])
    return result


def test_mark_repeats_applies_the_marks():
    record = row("a")
    mark = Mark("duplicate", "b" * 32, "equal to b.jpg")
    assert marked(record, mark) == replace(
        record, split="duplicate", group="b" * 32, note="equal to b.jpg"
    )
    assert marked(record) == record


@pytest.mark.parametrize(
    ("size", "rules", "note"),
    [
        ((640, 480), {}, None),
        ((1, 1), {}, None),  # no rules, no exclusions
        ((200, 300), {"min_side": 200}, None),
        ((300, 199), {"min_side": 200}, "side 199 px is under 200"),
        ((120, 900), {"min_side": 200, "max_aspect": 3}, "side 120 px is under 200"),  # the first
        ((900, 300), {"max_aspect": 3}, None),
        ((901, 300), {"max_aspect": 3.0}, "aspect ratio 3.003 is over 3"),
        ((200, 840), {"max_aspect": 3}, "aspect ratio 4.2 is over 3"),
        ((300, 200), {"max_aspect": 1.25}, "aspect ratio 1.5 is over 1.25"),
    ],
)
def test_rules_for_size_and_shape(size, rules, note):
    record = row("a", width=size[0], height=size[1])
    split = "pool" if note is None else "excluded"
    assert marked(record, **rules) == replace(record, split=split, note=note)


def test_rules_after_marks():
    small = row("a", width=10, height=10)
    near = Mark("pool", "b" * 32, "near b.jpg (2 bits)")
    leak = Mark("leak", "h" * 32, "equal to held-out h.jpg")
    excluded = marked(small, near, min_side=200)
    assert (excluded.split, excluded.group, excluded.note) == (
        "excluded",
        "b" * 32,
        "side 10 px is under 200",
    )
    assert marked(small, leak, min_side=200).note == "equal to held-out h.jpg"


def test_mark_repeats_leaves_rows_with_an_error_alone():
    stage = MarkRepeats({}, min_side=200, max_aspect=3)
    assert stage.wants(row("a"))
    assert not stage.wants(row("a", error="empty file"))


def test_objects_pass_through():
    record = row("a", objects=Objects.create(["cat"], [0.5], [[0, 0, 2, 2]]))
    assert marked(record, min_side=1000).objects == record.objects
