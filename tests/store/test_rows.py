from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.store import Layer, Manifest, Rows, Workspace
from autolabel.types import DUPLICATE, GONE, Record
from tests.layers import begin, finish


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    home = Workspace(tmp_path)
    layer = begin(home, "images", Manifest("ingest", source_root=str(tmp_path), shards=2))
    one, two = Record("1", "a.jpg", 4, 4), Record("2", "b.jpg", 4, 4)
    again = replace(one, uri="copy of a.jpg", split=DUPLICATE)
    layer.write(0, [one, replace(two, split=GONE), Record("3", "c.jpg", 4, 4)], None)
    layer.write(1, [again, replace(two, uri="b, moved.jpg")], None)
    return finish(home, layer)


def test_an_image_is_found_by_its_id_and_its_row_in_use_counts(layer: Layer) -> None:
    rows = Rows(layer)
    assert [rows.record(one).uri for one in "1231"] == ["a.jpg", "b, moved.jpg", "c.jpg", "a.jpg"]
    assert "4" not in rows
    with pytest.raises(KeyError):
        rows.record("4")


def test_only_what_is_asked_for_is_looked_up(layer: Layer) -> None:
    rows = Rows(layer, {"2"})
    assert ("1" in rows, "2" in rows) == (False, True)
    assert "2" not in Rows(layer, set())
