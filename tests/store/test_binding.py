"""What a product is bound to decides whether it is current; what cannot be read binds nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autolabel.store import changes, is_current, read_note

BOUND = {"binding": {"settings": {"epochs": 10}}, "state": "complete"}


@pytest.fixture
def note(tmp_path: Path) -> Path:
    path = tmp_path / "run.json"
    path.write_text(json.dumps(BOUND | {"seconds": 3}), "utf-8")
    return path


def test_every_value_that_binds_must_be_noted_and_no_other(note: Path) -> None:
    assert is_current(note, BOUND)
    assert not is_current(note, BOUND | {"state": "unfinished"})
    assert not is_current(note, {"binding": {"settings": {"epochs": 20}}})
    assert not is_current(note, BOUND | {"request": None}), "what is not noted is not None"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "3"])
def test_a_note_that_is_missing_or_damaged_binds_nothing(note: Path, text: str | None) -> None:
    note.unlink()
    if text is not None:
        note.write_text(text, "utf-8")
    assert read_note(note) == {}
    assert not is_current(note, BOUND)


def test_changes_are_told_one_by_one() -> None:
    old = {"settings": {"a": 1, "b": [1]}, "model": {"revision": "x"}, "labels": "5f", "layer": "x"}
    new = {"settings": {"a": 1, "b": [2], "c": "new"}, "model": None, "labels": "6e", "layer": "x"}
    assert sorted(changes(old, new, {"labels": "other labels"})) == [
        "b [1], not [2]",
        "c null, not new",
        "model revision x, not null",
        "other labels",
    ]
    assert changes(new, new) == []
