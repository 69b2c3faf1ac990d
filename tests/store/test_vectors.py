from __future__ import annotations

from pathlib import Path

import numpy as np

from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.store.vectors import CROPS, WHOLE, from_vector_table, to_vector_table
from autolabel.types import Objects, Record
from tests.layers import begin, finish


def record(name: str, count: int | None, error: str | None = None) -> Record:
    if count is None:
        return Record(name, name, error=error)
    rng = np.random.default_rng(count)
    vectors = {CROPS: rng.random((count, 4), np.float32), WHOLE: rng.random((1, 4), np.float32)}
    return Record(name, name, error=error, vectors=vectors)


def test_round_trip() -> None:
    given = [record("a", 2), record("b", None, "truncated"), record("c", 0), record("d", 3)]
    back = from_vector_table(to_vector_table(given))
    assert [(r.image_id, r.error) for r in back] == [(r.image_id, r.error) for r in given]
    for mine, theirs in zip(given, back, strict=True):
        assert theirs.vectors is not None
        wanted = {} if mine.vectors is None else mine.vectors
        np.testing.assert_allclose(
            theirs.vectors[CROPS], wanted.get(CROPS, np.zeros((0, 4))), atol=1e-3
        )
        assert (WHOLE in theirs.vectors) == (WHOLE in wanted)
        assert all(v.dtype == np.float32 for v in theirs.vectors.values())


def test_no_vectors_at_all() -> None:
    back = from_vector_table(to_vector_table([record("a", None)]))
    assert [len((r.vectors or {})[CROPS]) for r in back] == [0]
    assert from_vector_table(to_vector_table([])) == []


def test_a_layer_of_vectors_lives_beside_the_others(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    with workspace.lock():
        source = begin(workspace, "detect", Manifest("detect", shards=1), overwrite=False)
        boxes = Objects.create(["cat"], [0.5], [[0, 0, 2, 2]])
        source.write(0, [Record("a", "a", objects=boxes)], None)
        manifest = bound_to(Manifest("embed", {"context": 0.1}), source)
        layer = begin(workspace, "embed/clip", manifest, overwrite=False)
        layer.write(0, [record("a", 1)], source.digest(0))
        finish(workspace, layer)
    names = [layer.name for layer in workspace.layers()]
    assert names == ["detect", "embed/clip"]
    found = workspace.require("embed/clip")
    assert found.counts().objects == 1
    assert found.read(0)[0].vectors is not None
    assert all(state.complete for state in workspace.states())


def test_the_successor_of_a_layer_of_vectors_takes_its_place(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)

    def make(context: float, *, complete: bool = True) -> Layer:
        with workspace.lock():
            manifest = Manifest("embed", {"context": context}, shards=1)
            layer = begin(workspace, "embed/clip", manifest, overwrite=True)
            layer.write(0, [record("a", int(10 * context))], None)
            return finish(workspace, layer) if complete else layer

    make(0.1)
    hidden = make(0.2, complete=False)
    assert workspace.require("embed/clip").counts().objects == 1
    assert hidden.path == tmp_path / "embed" / ".clip.next"
    make(0.2)
    assert workspace.require("embed/clip").counts().objects == 2
    # a crash between the two renames
    workspace.require("embed/clip").path.rename(tmp_path / "embed" / ".clip.old")
    with workspace.lock():
        assert workspace.require("embed/clip").counts().objects == 2
    assert [p.name for p in (tmp_path / "embed").iterdir()] == ["clip"]
