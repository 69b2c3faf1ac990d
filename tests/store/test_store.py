from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.errors import AutolabelError
from autolabel.store import Layer, Manifest, Workspace, bound_to, write_atomic
from autolabel.types import SCHEMA, Objects, Record
from tests.layers import begin, finish


def rows(count: int, tag: str = "") -> list[Record]:
    one = Objects.create(["cat"], [0.5], [[0, 0, 4, 4]])
    return [Record(f"{tag}{i}", f"{tag}{i}.jpg", 8, 8, objects=one) for i in range(count)]


def make(workspace: Workspace, name: str, shards: list[list[Record]], **kwargs: object) -> Layer:
    manifest = Manifest(stage=name, source_root="/", shards=len(shards), **kwargs)
    layer = begin(workspace, name, manifest, overwrite=False)
    for i, records in enumerate(shards):
        layer.write(i, records, None)
    return layer


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_shard_gives_back_its_records_and_the_same_bytes(workspace: Workspace) -> None:
    layer = make(workspace, "images", [rows(3)])
    assert layer.read(0) == rows(3)
    before = layer.shard_path(0).read_bytes()
    layer.write(0, rows(3), None)
    assert layer.shard_path(0).read_bytes() == before


def test_a_derived_layer_knows_which_shards_are_left_or_stale(workspace: Workspace) -> None:
    source = make(workspace, "images", [rows(2, "a"), rows(2, "b")])
    layer = begin(workspace, "detect", bound_to(Manifest("detect"), source), overwrite=False)
    assert layer.to_do(source) == [0, 1]
    layer.write(0, source.read(0), source.digest(0))
    assert layer.to_do(source) == [1]
    layer.write(1, source.read(1), source.digest(1))
    assert layer.to_do(source) == []

    source.write(1, rows(3, "c"), None)  # its source changed
    assert layer.to_do(source) == [1]
    images, detect = workspace.states()
    assert images.complete
    assert (detect.missing, detect.stale, detect.complete) == (0, 1, False)

    source.write(2, rows(1, "d"), None)  # its source grew
    assert layer.to_do(source) == [1, 2]
    assert workspace.states()[1].missing == 1


def test_what_follows_a_stale_layer_is_stale_too(workspace: Workspace) -> None:
    images = make(workspace, "images", [rows(1)])
    detect = begin(workspace, "detect", bound_to(Manifest("detect"), images), overwrite=False)
    detect.write(0, images.read(0), images.digest(0))
    refine = begin(workspace, "refine", bound_to(Manifest("refine"), detect), overwrite=False)
    refine.write(0, detect.read(0), detect.digest(0))
    assert [s.layer.name for s in workspace.states()] == ["images", "detect", "refine"]
    assert all(s.complete for s in workspace.states())
    images.write(0, rows(2), None)
    assert [s.stale for s in workspace.states()] == [0, 1, 1]


def test_other_settings_are_refused_and_named(workspace: Workspace) -> None:
    make(workspace, "detect", [rows(1)], settings={"box_threshold": 0.35})
    with pytest.raises(AutolabelError) as e:
        begin(
            workspace,
            "detect",
            Manifest("detect", settings={"box_threshold": 0.25}),
            overwrite=False,
        )
    assert e.value.message == "detect/ was made with box_threshold 0.35, not 0.25"
    assert "--overwrite" in e.value.hint


def test_changes_name_model_version_and_source() -> None:
    old = Manifest("detect", {"a": 1}, {"revision": "x"}, "0.1", {"layer": "images"})
    assert old.changes_to(old) == []
    assert old.changes_to(replace(old, model={"revision": "y"})) == ["model revision x, not y"]
    assert old.changes_to(replace(old, version="0.2")) == ["version 0.1, not 0.2"]
    assert old.changes_to(replace(old, source={"layer": "scan"})) == ["source images, not scan"]
    assert old.changes_to(replace(old, source={"layer": "images", "fingerprint": "z"})) == []


def test_an_overwritten_layer_stays_until_its_successor_is_complete(workspace: Workspace) -> None:
    with workspace.lock():
        make(workspace, "detect", [rows(1, "old")], settings={"t": 1})
        manifest = Manifest("detect", settings={"t": 2}, shards=2)
        fresh = begin(workspace, "detect", manifest, overwrite=True)
        fresh.write(0, rows(1, "new"), None)
    assert workspace.require("detect").read(0) == rows(1, "old")

    with workspace.lock():  # the same command again goes on where it stopped
        fresh = begin(workspace, "detect", manifest, overwrite=True)
        assert fresh.shards() == [0]
        fresh.write(1, rows(1, "new"), None)
        final = finish(workspace, fresh)
    assert final.path == workspace.path / "detect"
    assert final.shards() == [0, 1]
    assert final.manifest.settings == {"t": 2}
    assert {p.name for p in workspace.path.iterdir()} == {"detect", ".lock", ".lock.holder"}


@pytest.mark.parametrize("renames", [1, 2])
def test_a_kill_between_the_renames_of_an_overwrite_is_mended(
    workspace: Workspace, renames: int
) -> None:
    with workspace.lock():
        make(workspace, "detect", [rows(1, "old")], settings={"t": 1})
        fresh = begin(
            workspace, "detect", Manifest("detect", settings={"t": 2}, shards=1), overwrite=True
        )
        fresh.write(0, rows(1, "new"), None)
        (workspace.path / "detect").rename(workspace.path / ".detect.old")
        if renames == 2:
            fresh.path.rename(workspace.path / "detect")
    with workspace.lock():
        pass
    assert workspace.require("detect").read(0) == rows(1, "new")
    assert not (workspace.path / ".detect.old").exists()


def test_a_half_made_successor_does_not_take_the_place_after_a_kill(workspace: Workspace) -> None:
    with workspace.lock():
        make(workspace, "detect", [rows(1, "old")], settings={"t": 1})
        half = Manifest("detect", settings={"t": 2}, shards=2)
        begin(workspace, "detect", half).write(0, rows(1, "new"), None)
        (workspace.path / "detect").rename(workspace.path / ".detect.old")
    assert workspace.require("detect").read(0) == rows(1, "old")


def test_what_is_written_over_a_noted_shard_is_not_taken_for_damaged(workspace: Workspace) -> None:
    """Also by a run that is killed before it notes the new one."""
    finish(workspace, make(workspace, "detect", [rows(1), rows(1, "b")]))
    workspace.require("detect").write(0, rows(2, "new"), None)
    assert list(workspace.require("detect")) == [*rows(2, "new"), *rows(1, "b")]


def test_a_layer_lacks_what_its_source_lacks(workspace: Workspace) -> None:
    images = begin(workspace, "images", Manifest("ingest", shards=3))
    images.write(0, rows(1, "a"), None)
    detect = begin(workspace, "detect", bound_to(Manifest("detect"), images))
    detect.write(0, rows(1, "a"), images.digest(0))
    state = workspace.state("detect")
    assert (state.lacking, state.outdated, state.complete) == ({1, 2}, set(), False)
    assert state.problem() == "detect/ is unfinished: 1 of 3 shards"


def test_shards_without_a_manifest_are_not_taken_for_results(workspace: Workspace) -> None:
    layer = make(workspace, "detect", [rows(1)])
    (layer.path / "manifest.json").unlink()
    assert workspace.layers() == []
    with pytest.raises(AutolabelError, match=r"without a manifest\.json"):
        begin(workspace, "detect", Manifest("detect"), overwrite=False)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"stage": "x", "colour": 1}'])
def test_a_damaged_manifest_is_named(workspace: Workspace, text: str) -> None:
    layer = make(workspace, "detect", [rows(1)])
    (layer.path / "manifest.json").write_text(text, "utf-8")
    with pytest.raises(AutolabelError, match=r"manifest\.json is damaged"):
        layer.manifest  # noqa: B018


def test_a_damaged_shard_is_named_and_counts_as_stale(workspace: Workspace) -> None:
    source = make(workspace, "images", [rows(1)])
    layer = begin(workspace, "detect", bound_to(Manifest("detect"), source), overwrite=False)
    layer.shard_path(0).write_bytes(b"PAR1 no")
    assert layer.to_do(source) == [0]
    with pytest.raises(AutolabelError, match=r"part-00000\.parquet cannot be read"):
        layer.read(0)


def test_two_processes_are_told_apart(workspace: Workspace) -> None:
    code = f"""
        import sys
        from pathlib import Path
        from autolabel.store import Workspace
        with Workspace(Path({str(workspace.path)!r})).lock():
            print("locked", flush=True)
            sys.stdin.read()
    """
    other = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "locked\n"
    with (
        pytest.raises(AutolabelError, match=f"in use by process {other.pid} on "),
        workspace.lock(),
    ):
        pass
    other.kill()
    other.communicate()
    with workspace.lock():  # a killed process holds nothing
        pass


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a"
    write_atomic(path, b"old")
    with pytest.raises(TypeError):
        write_atomic(path, "not bytes")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["a"]


def test_leftovers_of_a_crash_are_cleared(workspace: Workspace) -> None:
    layer = make(workspace, "detect", [rows(1)])
    stray = layer.path / ".part-00001.parquet.tmp"
    stray.write_bytes(b"half")
    with workspace.lock():
        assert not stray.exists()
    assert layer.shards() == [0]


def test_counts_come_from_the_columns(workspace: Workspace) -> None:
    two = Objects.create(["a", "b"], [1, 1], [[0, 0, 1, 1]] * 2, keep=[True, False])
    layer = make(
        workspace,
        "filter",
        [
            [Record("1", "1", objects=two), Record("2", "2", error="no")],
            [Record("3", "3", split="leak")],
        ],
    )
    counts = layer.counts()
    assert (counts.images, counts.objects, counts.kept, counts.errors) == (3, 2, 1, 1)
    assert counts.splits == {"pool": 2, "leak": 1}


def test_the_fingerprint_follows_content_and_settings(workspace: Workspace) -> None:
    layer = make(workspace, "detect", [rows(1)], settings={"t": 1})
    first = layer.fingerprint()
    layer.write_manifest(replace(layer.manifest, source_root="/elsewhere"))
    assert layer.fingerprint() == first
    layer.write(0, rows(2), None)
    assert layer.fingerprint() != first


def test_a_layer_is_read_as_records_or_as_one_table(workspace: Workspace) -> None:
    make(workspace, "images", [rows(2, "a"), rows(1, "b")])
    layer = Workspace(str(workspace.path)).require("images")
    assert list(layer) == [*rows(2, "a"), *rows(1, "b")]
    assert len(layer) == 3
    table = layer.to_arrow()
    assert table.column("image_id").to_pylist() == ["a0", "a1", "b0"]
    assert table.schema.equals(SCHEMA)
    labels = layer.to_arrow(["objects.list.element.label"]).column("objects").to_pylist()
    assert labels == [[{"label": "cat"}]] * 3


def test_a_layer_without_images_is_a_layer(workspace: Workspace) -> None:
    layer = make(workspace, "images", [])
    assert layer
    assert len(layer) == layer.to_arrow().num_rows == 0
    with pytest.raises(AutolabelError, match="no layer detect/"):
        workspace.layer("detect").to_arrow()


def test_a_moved_source_root_is_noted_in_every_layer_that_names_it(workspace: Workspace) -> None:
    with workspace.lock():
        for name in ("scan", "images", "detect"):
            make(workspace, name, [rows(1)])
        workspace.set_source_root(Path("/moved"))
    roots = [workspace.require(n).manifest.source_root for n in ("scan", "images", "detect")]
    assert roots == ["/moved", "/moved", "/"]
    assert workspace.source_root == Path("/moved")


def test_a_manifest_that_is_edited_in_place_is_read_again(workspace: Workspace) -> None:
    layer = make(workspace, "detect", [rows(1)], settings={"t": 1})
    assert layer.manifest.settings == {"t": 1}
    path = layer.path / "manifest.json"
    path.write_text(path.read_text("utf-8").replace('"t": 1', '"t": 2'), "utf-8")
    os.utime(path, ns=(1, 1))
    assert layer.manifest.settings == {"t": 2}
    assert workspace.require("detect").manifest.settings == {"t": 2}
