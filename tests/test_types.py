from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.types import (
    OBJECT,
    SCHEMA,
    Correction,
    Objects,
    Record,
    from_table,
    to_table,
    upgraded,
)

text = st.text(max_size=12).filter(lambda t: not any("\ud800" <= c <= "\udfff" for c in t))
number = st.floats(0, 4000, width=32)


@st.composite
def objects(draw: st.DrawFn) -> Objects:
    n = draw(st.integers(0, 4))

    def each(strategy: st.SearchStrategy) -> list:
        return draw(st.lists(strategy, min_size=n, max_size=n))

    corners = each(st.tuples(number, number, number, number))
    boxes = [[min(a, c), min(b, d), max(a, c), max(b, d)] for a, b, c, d in corners]
    return Objects.create(
        each(text),
        each(st.floats(0, 1, width=32)),
        np.array(boxes).reshape(n, 4),
        mask=each(st.none() | st.binary(max_size=8)),
        keep=each(st.booleans()),
        reason=each(st.none() | text),
        prompt=each(st.none() | text),
        scores=each(st.dictionaries(text, st.floats(0, 1, width=32), max_size=3)),
    )


records = st.lists(
    st.builds(
        Record,
        image_id=text,
        uri=text,
        width=st.integers(0, 9999),
        height=st.integers(0, 9999),
        split=text,
        error=st.none() | text,
        group=st.none() | text,
        note=st.none() | text,
        phash=st.none() | text,
        objects=objects(),
    ),
    max_size=5,
)


@given(records)
def test_a_table_gives_back_the_records(rows: list[Record]) -> None:
    table = to_table(rows)
    assert table.schema == SCHEMA
    assert from_table(table) == rows


@given(records, st.data())
def test_a_slice_of_a_table_gives_back_its_rows(rows: list[Record], data: st.DataObject) -> None:
    a = data.draw(st.integers(0, len(rows)))
    b = data.draw(st.integers(a, len(rows)))
    assert from_table(to_table(rows).slice(a, b - a)) == rows[a:b]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        # three numbers to a box
        ({"xyxy": np.zeros((1, 3), np.float32)}, r"shape \(1, 4\)"),
        # two scores for one label
        ({"score": np.zeros(2, np.float32)}, r"score must have shape \(1,\)"),
        # right of its own left side
        ({"xyxy": np.array([[5, 0, 4, 1]], np.float32)}, "x1 <= x2"),
        # no number
        ({"xyxy": np.array([[0, 0, np.nan, 1]], np.float32)}, "finite"),
    ],
)
def test_objects_refuse_what_is_no_box(fields: dict, message: str) -> None:
    good = Objects.create(["a"], [0.5], [[0, 0, 1, 1]])
    with pytest.raises(ValueError, match=message):
        Objects(**{**{n: getattr(good, n) for n in Objects.__dataclass_fields__}, **fields})


def test_kept_leaves_out_the_rejected() -> None:
    both = Objects.create(["a", "b"], [0.5, 0.6], np.ones((2, 4)), keep=[False, True])
    assert both.kept.label.tolist() == ["b"]
    assert len(both) == 2


def test_what_a_person_did_to_an_object_is_stored_with_it() -> None:
    drawn = Correction("drawn", "anna", "2026-11-21T10:00:00Z")
    objects = Objects.create(
        ["cat", "dog"], [1, 0.5], [[0, 0, 4, 4], [1, 1, 3, 5]], correction=[drawn, None]
    )
    records = [Record("a", "a.jpg", 9, 9, objects=objects), Record("b", "b.jpg", 9, 9)]
    assert from_table(to_table(records)) == records
    assert objects.locked.tolist() == [True, False]
    with pytest.raises(ValueError, match="'erased' is not one of drawn"):
        Correction("erased")


def test_a_table_that_was_written_before_there_were_corrections_is_read() -> None:
    objects = Objects.create(["cat"], [0.5], [[0, 0, 4, 4]])
    records = [Record("a", "a.jpg", 9, 9), Record("b", "b.jpg", 9, 9, objects=objects)]
    table = to_table(records)
    column = table.column("objects").combine_chunks()
    names = [field.name for field in OBJECT if field.name != "correction"]
    struct = pa.StructArray.from_arrays([column.values.field(name) for name in names], names)
    old = pa.ListArray.from_arrays(column.offsets, struct)
    before = table.set_column(table.schema.get_field_index("objects"), "objects", old)
    assert from_table(upgraded(before)) == records
