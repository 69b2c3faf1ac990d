"""A shard that holds what it may not is refused when it is read, whoever wrote it."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from autolabel.errors import AutolabelError
from autolabel.store import Layer, Manifest, Workspace
from autolabel.types import SCHEMA, Objects, Record, to_table
from tests.layers import begin

ROW = Record("a", "a.jpg", 8, 8, objects=Objects.create(["cat"], [0.5], [[0, 0, 4, 4]]))


@pytest.fixture
def layer(tmp_path: Path) -> Layer:
    """With one shard, whose digest is not noted."""
    layer = begin(Workspace(tmp_path / "ws"), "detect", Manifest("detect", source_root="/"))
    layer.write(
        0, [Record("a", "a.jpg", 8, 8, objects=Objects.create(["cat"], [1], [[0] * 4]))], ""
    )
    return layer


def rewrite(layer: Layer, **values: Any) -> None:
    """The same shard with other values of its only row; an object's by ``object_NAME``."""
    row = to_table([ROW]).to_pylist()[0]
    for name, value in values.items():
        holder = row["objects"][0] if name.startswith("object_") else row
        holder[name.removeprefix("object_")] = value
    pq.write_table(pa.Table.from_pylist([row], SCHEMA), layer.shard_path(0))


def test_what_is_sound_is_read(layer: Layer) -> None:
    rewrite(layer)
    assert layer.read(0)[0].objects.label == ["cat"]


@pytest.mark.parametrize(
    "values",
    [
        {"image_id": "../a"}, {"image_id": ""}, {"uri": "a\0b"}, {"uri": "../../etc/a.jpg"},
        {"phash": "zz"}, {"width": -1}, {"width": 2**30, "height": 2**30}, {"height": 0},
        {"object_xyxy": [4, 0, 0, 4]}, {"object_xyxy": [0, 0, 0, math.nan]},
        {"object_xyxy": [0, 0, 4, 1e9]}, {"object_score": math.inf}, {"object_mask": b"\xff"},
    ],
    ids=str,
)  # fmt: skip
def test_what_is_not_sound_is_named(layer: Layer, values: dict[str, Any]) -> None:
    rewrite(layer, **values)
    with pytest.raises(AutolabelError, match=r"part-00000\.parquet cannot be read") as e:
        layer.read(0)
    assert "run autolabel detect again" in e.value.hint


def test_a_column_of_another_type_is_named(layer: Layer) -> None:
    table = pq.read_table(layer.shard_path(0))
    wrong = table.set_column(2, "width", pa.array(["8"]))
    pq.write_table(wrong, layer.shard_path(0))
    with pytest.raises(AutolabelError, match="its column width holds string"):
        layer.read(0)
    pq.write_table(table.drop_columns(["width"]), layer.shard_path(0))
    with pytest.raises(AutolabelError, match="it has no column width"):
        layer.read(0)
