"""What commands do and print, end to end, in one process."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from autolabel import __version__
from autolabel.cli.commands import app
from autolabel.store import Workspace
from tests.conftest import Run, make_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 5)
    return tmp_path / "photos"


def labelled(run: Run, photos: Path, model: Path, *extra: object) -> Path:
    workspace = photos.parent / "ws"
    done = run(
        "detect", photos, "--workspace", workspace, "--model", model, "--prompt", "cat",
        "--prompt", "dog", "--box-threshold", "0.1", *extra,
    )  # fmt: skip
    assert done.status == 0, done.err
    return workspace


def test_version_and_help(run: Run) -> None:
    assert run("--version").out == f"autolabel {__version__}\n"
    assert "ingest" in run("--help").out
    for command in app.registered_commands:
        assert command.callback is not None
        done = run(command.name or command.callback.__name__, "--help")
        assert done.status == 0
        assert (command.callback.__doc__ or "").split()[0] in done.out


def test_detect_on_a_folder_ingests_it_first(run: Run, photos: Path, random_detector: Path) -> None:
    workspace = labelled(run, photos, random_detector, "--json")
    layers = run("status", workspace, "--json").json()["layers"]
    assert list(layers) == ["scan", "images", "detect"]
    assert layers["detect"]["images"] == 5
    assert layers["detect"]["kept"] == layers["detect"]["objects"] > 0
    assert not layers["detect"]["stale"]
    assert layers["detect"]["complete"]
    for row in Workspace(workspace).require("detect").records():
        assert set(row.objects.label) <= {"cat", "dog"}
        assert all(score >= 0.1 for score in row.objects.score)
        assert set(row.objects.prompt) <= {"cat", "dog"}


def test_a_second_time_nothing_is_loaded(
    run: Run, photos: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled(run, photos, random_detector)

    def never(*args: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("autolabel.registry.load", never)
    labelled(run, photos, random_detector)
    # the same classes in another order are the same ontology
    workspace = photos.parent / "ws"
    swapped = run(
        "detect", workspace, "--model", random_detector, "--prompt", "dog", "--prompt", "cat",
        "--box-threshold", "0.1",
    )  # fmt: skip
    assert "nothing to do" in swapped.err
    ontology = yaml.safe_load((workspace / "ontology.yaml").read_text("utf-8"))
    assert list(ontology["classes"]) == ["cat", "dog"]


def test_only_what_is_new_is_done(run: Run, photos: Path, random_detector: Path) -> None:
    workspace = labelled(run, photos, random_detector)
    layer = Workspace(workspace).require("detect")
    before = layer.digest(0)
    make_photos(photos, 8)
    done = run("ingest", photos, "-w", workspace)
    assert "3 images done" in done.err
    assert run("status", workspace, "--json").json()["layers"]["detect"]["missing_shards"] == 1
    labelled(run, photos, random_detector)
    assert layer.shards() == [0, 1]
    assert layer.digest(0) == before
    assert [r.uri for r in layer.records()] == [f"{i:04d}.png" for i in range(8)]


def test_a_photo_that_changed_on_disk_is_new_and_its_old_row_says_so(
    run: Run, photos: Path, random_detector: Path
) -> None:
    workspace = photos.parent / "ws"
    run("ingest", photos, "-w", workspace)
    changed = photos / "0001.png"
    Image.fromarray(np.full((30, 40, 3), 99, np.uint8)).save(changed)
    os.utime(changed, (2e9, 2e9))
    assert "1 images done" in run("ingest", photos, "-w", workspace).err
    labelled(run, photos, random_detector)
    rows = [r for r in Workspace(workspace).require("detect").records() if r.uri == "0001.png"]
    assert [r.error for r in rows] == ["changed since it was ingested", None]
    assert (rows[1].width, rows[1].height) == (40, 30)


def test_a_photo_that_was_missing_is_taken_up_when_it_is_there(
    run: Run, photos: Path, tmp_path: Path
) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text(f"{photos / '0000.png'}\n{photos / 'late.png'}\n", "utf-8")
    workspace = tmp_path / "ws"
    assert "1 errors" in run("ingest", listed, "-w", workspace).err
    assert "nothing to do" in run("ingest", listed, "-w", workspace).err
    shutil.copy2(photos / "0001.png", photos / "late.png")
    os.utime(photos / "late.png", (1e9, 1e9))  # older than the workspace
    assert "1 images done" in run("ingest", listed, "-w", workspace).err
    rows = [r for r in Workspace(workspace).require("images").records() if r.uri == "late.png"]
    assert [r.error for r in rows] == ["missing", None]


def test_overwrite_replaces_labels_and_marks_nothing_before(
    run: Run, photos: Path, random_detector: Path
) -> None:
    workspace = labelled(run, photos, random_detector)
    images = Workspace(workspace).require("images").digest(0)
    many = run("status", workspace, "--json").json()["layers"]["detect"]["objects"]
    done = run(
        "detect", workspace, "--model", random_detector, "--prompt", "cat", "--prompt", "dog",
        "--box-threshold", "0.5", "--overwrite",
    )  # fmt: skip
    assert done.status == 0
    assert run("status", workspace, "--json").json()["layers"]["detect"]["objects"] < many
    assert Workspace(workspace).require("images").digest(0) == images


def test_a_moved_image_folder(run: Run, photos: Path, random_detector: Path) -> None:
    workspace = photos.parent / "ws"
    run("ingest", photos, "-w", workspace)
    moved = photos.rename(photos.parent / "elsewhere")
    detect = ["detect", workspace, "--model", random_detector, "--prompt", "cat"]
    done = run(*detect)
    assert (done.status, "--source-root" in done.err) == (1, True)
    assert run(*detect, "--source-root", moved).status == 0
    assert all(r.error is None for r in Workspace(workspace).require("detect").records())


def test_a_moved_workspace(run: Run, photos: Path, random_detector: Path) -> None:
    workspace = labelled(run, photos, random_detector)
    moved = workspace.parent / "far" / "away"
    moved.parent.mkdir()
    shutil.move(workspace, moved)
    assert run("status", moved, "--json").json()["layers"]["detect"]["complete"]
    done = run(
        "detect", moved, "--model", random_detector, "--prompt", "cat", "--prompt", "dog",
        "--box-threshold", "0.1",
    )  # fmt: skip
    assert "nothing to do" in done.err


def test_leaks_and_duplicates_are_marked_and_not_labelled(
    run: Run, photos: Path, random_detector: Path
) -> None:
    workspace = photos.parent / "ws"
    holdout = photos.parent / "holdout"
    holdout.mkdir()
    shutil.copy(photos / "0000.png", holdout / "a.png")
    Image.open(photos / "0001.png").resize((192, 128)).save(holdout / "b.jpg", quality=80)
    shutil.copy(photos / "0002.png", photos / "copy.png")
    done = run("ingest", photos, "-w", workspace, "--holdout", holdout)
    assert "2 leaks" in done.err
    assert "1 duplicates" in done.err
    # more images later, and the guard still holds without being named again
    shutil.copy(holdout / "a.png", photos / "again.png")
    run("ingest", photos, "-w", workspace)
    labelled(run, photos, random_detector, "--box-threshold", "0")
    rows = {r.uri: r for r in Workspace(workspace).require("detect").records()}
    assert [rows[n].split for n in ("0000.png", "0001.png", "again.png")] == ["leak"] * 3
    assert rows["copy.png"].split == "duplicate"
    assert rows["copy.png"].note == "equal to 0002.png"
    assert all(len(r.objects) == 0 for r in rows.values() if r.split != "pool")
    assert all(len(r.objects) > 0 for r in rows.values() if r.split == "pool")


def test_export_goes_from_labels_to_a_dataset(
    run: Run, photos: Path, random_detector: Path, tmp_path: Path
) -> None:
    workspace = labelled(run, photos, random_detector)
    kept = run("status", workspace, "--json").json()["layers"]["detect"]["kept"]
    done = run("export", workspace, "--format", "coco", "--out", tmp_path / "out", "--json")
    assert done.status == 0, done.err
    data = json.loads((tmp_path / "out/annotations/instances_train.json").read_text("utf-8"))
    assert len(data["annotations"]) == kept == done.json()["objects"]
    assert [c["name"] for c in data["categories"]] == ["cat", "dog"]


def test_unfinished_labels_are_not_passed_off_as_whole(
    run: Run, photos: Path, random_detector: Path, tmp_path: Path
) -> None:
    workspace = labelled(run, photos, random_detector)
    assert "warning" not in run("export", workspace, "--out", tmp_path / "whole").err
    make_photos(photos, 7)
    run("ingest", photos, "-w", workspace)
    part = ["export", workspace, "--out", tmp_path / "part"]
    refused = run(*part)
    assert refused.status == 1
    assert "detect/ is unfinished: 1 of 2 shards" in refused.err
    done = run(*part, "--allow-unfinished")
    assert done.status == 0
    assert "warning: detect/ is unfinished: 1 of 2 shards; 2 images are left out" in done.err


def test_models_lists_names(run: Run) -> None:
    rows = run("models", "--json").json()
    assert {"grounding-dino-tiny", "grounding-dino-base"} <= {row["name"] for row in rows}
    assert "grounding-dino-tiny" in run("models").out


def test_ctrl_c_says_how_to_go_on(
    run: Run, photos: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("autolabel.registry.load", interrupted)
        done = run(
            "detect", photos, "-w", photos.parent / "ws", "--model", random_detector,
            "--prompt", "cat", "--prompt", "dog", "--box-threshold", "0.1",
        )  # fmt: skip
    assert done.status == 130
    assert "To go on: run the same command again" in done.err
    labelled(run, photos, random_detector)


def pipeline_file(photos: Path, model: Path) -> Path:
    path = photos.parent / "p.yaml"
    home = photos.parent
    config = {
        "workspace": str(home / "ws"),
        "engine": {"device": "cpu"},
        "ingest": {"source": str(photos)},
        "detect": {"model": str(model), "prompt": ["cat", "dog"], "box_threshold": 0.1},
        "export": [{"format": "yolo", "out": str(home / "yolo"), "val_share": 0.4}],
    }
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


def test_run_does_only_what_is_left(
    run: Run, photos: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pipeline_file(photos, random_detector)
    first = run("run", file)
    assert first.status == 0, first.err
    workspace = Workspace(photos.parent / "ws")
    names = ("scan", "images", "detect")
    before = {name: workspace.require(name).shard_path(0).stat().st_mtime_ns for name in names}

    with monkeypatch.context() as patch:
        patch.setattr("autolabel.registry.load", None)
        second = run("run", file)
    assert second.status == 0
    assert second.err.count("nothing to do") == 2
    assert "up to date" in second.err

    third = run("run", file, "--set", "detect.box_threshold=0.5")
    assert third.status == 0
    after = {name: workspace.require(name).shard_path(0).stat().st_mtime_ns for name in names}
    assert [before[n] == after[n] for n in names] == [True, True, False]
    assert "up to date" not in third.err
    kept = yaml.safe_load((workspace.path / "pipeline.yaml").read_text("utf-8"))
    assert kept["detect"]["box_threshold"] == 0.5
