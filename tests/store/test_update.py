"""A layer that must change is made beside the old one, and whatever stops it, no label is lost."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from autolabel.errors import AutolabelError
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.store.validate import manifest_of
from autolabel.types import Objects, Record
from tests.conftest import Run, make_photos
from tests.store.kills import killed_at


def rows(tag: str, count: int = 2) -> list[Record]:
    one = Objects.create(["cat"], [0.5], [[0, 0, 4, 4]])
    return [Record(f"{tag}{i}", f"{tag}{i}.jpg", 8, 8, objects=one) for i in range(count)]


def images(home: Workspace, *tags: str) -> Layer:
    """The layer `images` with one shard for each tag."""
    wanted = dict(enumerate(tags))
    update = home.plan_update(
        "images", Manifest("ingest", shards=len(tags)), wanted, overwrite=False
    )
    layer = update.begin()
    for i in update.to_do:
        layer.write(i, rows(tags[i]), tags[i])
    return update.finish()


def labelled(threshold: float, source: Layer, index: int) -> list[Record]:
    return rows(f"{round(10 * threshold)}-{source.read(index)[0].image_id}-")


def detect(home: Workspace, threshold: float, overwrite: bool = True) -> list[int]:
    """Make or renew the layer `detect`; the shards that were done."""
    source = home.require("images")
    wanted = {i: source.digest(i) for i in source.shards()}
    manifest = bound_to(Manifest("detect", {"threshold": threshold}), source)
    update = home.plan_update("detect", manifest, wanted, overwrite=overwrite)
    layer = update.begin()
    for i in update.to_do:
        layer.write(i, labelled(threshold, source, i), wanted[i])
    update.finish()
    return update.to_do


def content(home: Workspace, name: str = "detect") -> list[str]:
    return [record.image_id for record in home.require(name).records()]


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    home = Workspace(tmp_path / "ws")
    with home.lock():
        images(home, "a", "b", "c")
        detect(home, 0.1)
    return home


def test_only_what_changed_is_done_and_the_old_layer_stays_until_then(home: Workspace) -> None:
    old = content(home)
    inode = home.require("detect").shard_path(0).stat().st_ino
    with home.lock():
        images(home, "a", "B", "c", "d")
        assert [s.problem() for s in home.states()] == [
            None, "detect/ is stale: its source has changed since, in 1 of its shards",
        ]  # fmt: skip
        source = home.require("images")
        wanted = {i: source.digest(i) for i in source.shards()}
        manifest = bound_to(Manifest("detect", {"threshold": 0.1}), source)
        update = home.plan_update("detect", manifest, wanted, overwrite=False)
        assert (update.to_do, update.in_place) == ([1, 3], False)
        update.begin().write(3, rows("new"), wanted[3])
    assert content(home) == old
    with home.lock():
        assert detect(home, 0.1) == [1]  # 3 is done, and the others were never to do
    assert home.state("detect").complete
    assert home.require("detect").shard_path(0).stat().st_ino == inode


def test_new_images_are_added_in_place(home: Workspace) -> None:
    with home.lock():
        images(home, "a", "b", "c", "d")
        assert home.state("detect").problem() == "detect/ is unfinished: 3 of 4 shards"
        assert detect(home, 0.1) == [3]
    assert home.state("detect").complete


def test_shards_whose_source_is_gone_are_stale_and_go(home: Workspace) -> None:
    with home.lock():
        images(home, "a", "b")
        assert home.state("detect").outdated == {2}
        assert detect(home, 0.1) == []
    assert home.state("detect").complete
    assert [name.split("-")[1] for name in content(home)] == ["a0", "a0", "b0", "b0"]


def test_a_half_made_successor_gives_way_to_one_of_other_settings_alone(home: Workspace) -> None:
    old = content(home)
    source = home.require("images")
    for threshold, kept in ((0.2, []), (0.2, [0]), (0.3, []), (0.1, [0, 1, 2]), (0.3, [0])):
        with home.lock():
            wanted = {i: source.digest(i) for i in source.shards()}
            manifest = bound_to(Manifest("detect", {"threshold": threshold}), source)
            update = home.plan_update("detect", manifest, wanted, overwrite=True)
            assert sorted(set(wanted) - set(update.to_do)) == kept
            layer = update.begin()
            if update.to_do:
                layer.write(0, rows("half"), wanted[0])
        assert content(home) == old


@pytest.mark.parametrize("same", [True, False])
def test_what_was_fitted_on_a_layer_stays_with_the_same_settings_alone(
    home: Workspace, same: bool
) -> None:
    """So do the halves of shards that were stopped."""
    layer = home.require("detect")
    (layer.path / "fitted.npz").write_bytes(b"fitted")
    layer.journal_path(1).write_bytes(b"half a shard")
    layer.journal_path(2).symlink_to(layer.path / "fitted.npz")
    with home.lock():
        images(home, "a", "B", "C")
        source = home.require("images")
        wanted = {i: source.digest(i) for i in source.shards()}
        manifest = bound_to(Manifest("detect", {"threshold": 0.1 if same else 0.2}), source)
        update = home.plan_update("detect", manifest, wanted, overwrite=True)
        fresh = update.begin()
        assert not update.in_place
        assert [fresh.journal_path(i).exists() for i in (0, 1, 2)] == [False, same, False]
        for i in update.to_do:
            fresh.write(i, rows("new"), wanted[i])
        update.finish()
    assert (home.path / "detect" / "fitted.npz").exists() == same


def test_a_trial_with_other_settings_stays_hidden_and_is_found_again(home: Workspace) -> None:
    old = content(home)
    source = home.require("images")
    wanted = {i: source.digest(i) for i in source.shards()}
    manifest = bound_to(Manifest("detect", {"threshold": 0.2}), source)
    for to_do in ([0, 1, 2], []):
        with home.lock():
            update = home.plan_update("detect", manifest, wanted, overwrite=True)
            update.on_trial = True
            layer = update.begin()
            assert update.to_do == to_do
            for i in update.to_do:
                layer.write(i, rows("trial"), wanted[i])
            assert [r.image_id for r in update.finish()] == ["trial0", "trial1"] * 3
        assert content(home) == old


def test_shards_are_done_again_where_that_is_asked_for(home: Workspace) -> None:
    """In the layer, and in a successor that was left half made."""
    source = home.require("images")
    wanted = {i: source.digest(i) for i in source.shards()}
    for threshold, redone in ((0.1, {1}), (0.2, set[int]())):
        manifest = bound_to(Manifest("detect", {"threshold": threshold}), source)
        with home.lock():
            if threshold == 0.2:
                update = home.plan_update("detect", manifest, wanted, overwrite=True)
                layer = update.begin()
                for i in (0, 1):
                    layer.write(i, rows("half"), wanted[i])
            update = home.plan_update(
                "detect", manifest, wanted, overwrite=True, redo=lambda layer, fitting: {1}
            )
        assert update.to_do == ([1] if threshold == 0.1 else [1, 2])
        assert update.redone == redone


def test_images_that_could_not_be_read_are_noted(home: Workspace) -> None:
    source = home.require("images")
    wanted = {i: source.digest(i) for i in source.shards()}
    manifest = bound_to(Manifest("detect", {"threshold": 0.2}), source)
    with home.lock():
        update = home.plan_update("detect", manifest, wanted, overwrite=True)
        layer = update.begin()
        for i in update.to_do:
            failed = Record(
                "a", "a.jpg", error="cannot be read: gone" if i == 1 else "not an image"
            )
            layer.write(i, [failed], wanted[i])
        update.finish()
    found = home.require("detect")
    assert found.manifest.unread == [1]
    assert [found.has_unread(i) for i in found.shards()] == [False, True, False]


def test_a_shard_is_done_again_when_anything_that_it_was_made_from_changes(home: Workspace) -> None:
    """Its source, or what else went into it: the part of its digest after the ``+``."""
    source = home.require("images")
    manifest = bound_to(Manifest("filter"), source)
    digests = [f"{source.digest(i)}+fitted" for i in source.shards()]
    with home.lock():
        update = home.plan_update("filter", manifest, dict(enumerate(digests)), overwrite=False)
        layer = update.begin()
        for i in update.to_do:
            layer.write(i, rows("x"), digests[i])
        done = update.finish()
        assert done.manifest.made_from == {str(i): one for i, one in enumerate(digests)}
        wanted = {0: digests[0], 1: f"{digests[1]}-anew", 2: f"other+{digests[2]}"}
        again = home.plan_update("filter", manifest, wanted, overwrite=False)
        assert again.to_do == [1, 2]
        assert home.state("filter").complete  # its source is as it was


def test_a_successor_drops_what_its_source_has_no_more(home: Workspace) -> None:
    source = home.require("images")
    wanted = {i: source.digest(i) for i in source.shards()}
    manifest = bound_to(Manifest("detect", {"threshold": 0.2}), source)
    with home.lock():  # stopped when all but one are done
        layer = home.plan_update("detect", manifest, wanted, overwrite=True).begin()
        for i in (1, 2):
            layer.write(i, labelled(0.2, source, i), wanted[i])
    with home.lock():
        images(home, "a", "b")
        assert detect(home, 0.2) == [0]
    assert home.require("detect").shards() == [0, 1]
    assert home.state("detect").complete


def test_resumed_and_uninterrupted_runs_give_the_same_bytes(
    home: Workspace, tmp_path: Path
) -> None:
    other = Workspace(Path(shutil.copytree(home.path, tmp_path / "other")))
    with home.lock():
        detect(home, 0.2)
    with other.lock():
        source = other.require("images")
        wanted = {i: source.digest(i) for i in source.shards()}
        update = other.plan_update(
            "detect", bound_to(Manifest("detect", {"threshold": 0.2}), source), wanted,
            overwrite=True,
        )  # fmt: skip
        update.begin().write(1, labelled(0.2, source, 1), wanted[1])
        update.note()
    with other.lock():
        assert detect(other, 0.2) == [0, 2]
    files = [sorted((w.path / "detect").iterdir()) for w in (home, other)]
    assert [p.name for p in files[0]] == [p.name for p in files[1]]
    assert [p.read_bytes() for p in files[0]] == [p.read_bytes() for p in files[1]]


# -- kills ------------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["settings", "source"])
def test_a_kill_at_any_change_on_disk_loses_no_finished_label(
    tmp_path: Path, home: Workspace, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)  # a kill is no power cut
    with home.lock():
        if change == "source":
            images(home, "a", "B", "c")
    old = content(home)
    threshold = 0.2 if change == "settings" else 0.1

    def work(where: Workspace) -> None:
        with where.lock():
            detect(where, threshold)

    whole = Workspace(Path(shutil.copytree(home.path, tmp_path / "whole")))
    work(whole)
    new = content(whole)
    assert new != old
    for step in range(200):
        trial = Workspace(Path(shutil.copytree(home.path, tmp_path / f"kill{step}")))
        died = killed_at(step, lambda trial=trial: work(trial))  # type: ignore[misc]
        assert content(trial) in (old, new)
        if died and content(trial) == old:  # another command comes between
            killed_at(step % 5, lambda trial=trial: work(trial))  # type: ignore[misc]
            assert content(trial) in (old, new)
        work(trial)
        assert content(trial) == new
        assert trial.state("detect").complete
        names = {p.name for p in trial.path.iterdir()}
        assert names == {"images", "detect", ".lock", ".lock.holder"}
        shutil.rmtree(trial.path)
        if not died:
            break
    assert 15 < step < 199


# -- readers ----------------------------------------------------------------------------------


def test_a_reader_goes_on_with_the_layer_that_it_began_with(home: Workspace) -> None:
    old, fingerprint = content(home), home.require("detect").fingerprint()
    held = home.require("detect").snapshot()
    first = held.read(0)
    for threshold in (0.2, 0.3):
        with home.lock():
            detect(home, threshold)
    assert [*first, *held.read(1), *held.read(2)] == list(held.records())
    assert [record.image_id for record in held.records()] == old
    assert held.fingerprint() == fingerprint
    assert home.require("detect").fingerprint() != fingerprint
    assert len(list(home.path.glob(".detect.gone-*"))) == 1  # what nobody reads is gone at once
    del held
    with home.lock():
        pass
    assert not list(home.path.glob(".detect.*"))


def test_a_layer_that_grows_does_not_grow_for_its_reader(home: Workspace) -> None:
    held = home.require("detect").snapshot()
    with home.lock():
        images(home, "a", "b", "c", "d")
        detect(home, 0.1)
    assert len(list(held.records())) == 6
    assert len(content(home)) == 8


# -- digests ----------------------------------------------------------------------------------


def test_every_flipped_bit_is_noticed(home: Workspace) -> None:
    layer = home.require("detect")
    path = layer.shard_path(1)
    whole = path.read_bytes()
    for position in range(0, len(whole), 97):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        os.utime(path, ns=(position, position))
        with pytest.raises(AutolabelError, match=r"part-00001\.parquet is damaged") as e:
            list(Workspace(home.path).require("detect").records())
        assert "delete part-00001.parquet and run autolabel detect again" in e.value.hint
    path.unlink()
    assert home.state("detect").problem() == "detect/ is unfinished: 2 of 3 shards"
    with home.lock():
        assert detect(home, 0.1) == [1]
    assert path.read_bytes() == whole


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the files that are hashed from here on."""
    sizes: list[int] = []

    def counted(data: bytes) -> Any:
        sizes.append(len(data))
        return hashlib.sha256(data)

    monkeypatch.setattr("autolabel.store.digests.hashlib", SimpleNamespace(sha256=counted))
    return sizes


def test_a_run_with_nothing_to_do_hashes_nothing(home: Workspace, hashed: list[int]) -> None:
    with home.lock():
        assert detect(home, 0.1) == []
    assert home.state("detect").complete
    assert hashed == []


def test_a_shard_is_hashed_once_however_often_it_is_read(
    home: Workspace, hashed: list[int]
) -> None:
    def read_all() -> None:
        layer = Workspace(home.path).require("detect")
        assert len(list(layer)) == len(layer) == layer.counts().images == 6
        assert layer.classes() == {"cat": (6, 0)}
        assert layer.snapshot().fingerprint() == layer.fingerprint()

    for _ in range(3):
        read_all()
    sizes = [path.stat().st_size for path in sorted((home.path / "detect").glob("*.parquet"))]
    assert hashed == sizes
    os.utime(home.require("detect").shard_path(1))  # it may be another by now
    read_all()
    assert hashed == [*sizes, sizes[1]]


def test_a_manifest_is_parsed_once_for_as_long_as_it_stays(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[str] = []

    def counted(data: Any) -> Manifest:
        parsed.append(data["stage"])
        return manifest_of(data)

    monkeypatch.setattr("autolabel.store.manifest_file._parsed", {})  # as in a fresh process
    monkeypatch.setattr("autolabel.store.manifest_file.manifest_of", counted)
    for _ in range(3):
        assert len(Workspace(home.path).states()) == 2
    assert sorted(parsed) == ["detect", "ingest"]
    with home.lock():
        home.set_source_root(Path("/elsewhere"))
    assert Workspace(home.path).source_root == Path("/elsewhere")
    assert sorted(parsed) == ["detect", "ingest", "ingest"]


def test_a_workspace_without_digests_opens_and_gets_them(home: Workspace) -> None:
    manifests = {}
    for name in ("images", "detect"):
        layer = home.require(name)
        manifests[name] = (layer.path / "manifest.json").read_bytes()
        text = layer.path / "manifest.json"
        old = json.loads(text.read_text("utf-8"))
        del old["digests"], old["unread"]
        text.write_text(json.dumps(old), "utf-8")
    assert [state.complete for state in home.states()] == [True, True]
    assert len(content(home)) == 6
    with home.lock():
        assert detect(home, 0.1) == []
    assert (home.path / "detect/manifest.json").read_bytes() == manifests["detect"]


def test_a_folder_whose_name_is_not_utf_8_is_one_error(tmp_path: Path, run: Run) -> None:
    photos = tmp_path / os.fsdecode(b"caf\xe9")
    make_photos(photos, 2)
    done = run("ingest", photos, "-w", tmp_path / "ws")
    assert done.status == 1
    assert "is not UTF-8" in done.err
    assert "rename that folder" in done.err
