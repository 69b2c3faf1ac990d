"""Folders that are there already, hostile ones, and exports that stop half-way."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import autolabel.datasets.export as export_room
from autolabel.datasets.publisher import MARKER, STAGING, dataset_files
from autolabel.errors import AutolabelError
from autolabel.types import Objects
from tests.conftest import make_photos
from tests.datasets.conftest import Fixture, contents


def test_foreign_files_stay_and_our_old_ones_go(made: Fixture) -> None:
    made.export("yolo", val_share=0.4)
    foreign = {
        name: made.out / name for name in ("notes.md", "images/train/own.png", "labels/own.txt")
    }
    for name, path in foreign.items():
        path.write_text(name)
    (made.out / "labels" / "train.cache").write_text("stale")
    made.write(*made.records[:2])
    made.export("yolo")
    ours = ["images/train/0000.png", "images/train/0001.png"]
    labels = ["labels/train/0000.txt", "labels/train/0001.txt"]
    assert made.files() == sorted(["data.yaml", *ours, *labels, *foreign])
    assert not (made.out / "images" / "val").exists()
    assert all(path.read_text() == name for name, path in foreign.items())


@pytest.mark.parametrize("item", ["images/x.jpg", "annotations/x.json", "images"])
def test_a_folder_that_is_somebody_elses_is_refused_untouched(made: Fixture, item: str) -> None:
    path = made.out / item
    path.parent.mkdir(parents=True)
    path.write_text("mine")
    with pytest.raises(AutolabelError, match="no export wrote it") as e:
        made.export()
    assert "--out" in e.value.hint
    assert contents(made.out) == {item: b"mine"}


def test_other_files_and_empty_folders_are_no_hindrance(made: Fixture) -> None:
    (made.out / "images").mkdir(parents=True)
    (made.out / "README.md").write_text("mine")
    assert made.export().images == 5


def test_a_foreign_file_in_the_way_is_refused(made: Fixture) -> None:
    made.write(*made.records[1:])
    made.export()
    (made.out / "images" / "train" / "0000.png").write_text("mine")
    before = contents(made.out)
    made.write(*made.records)
    with pytest.raises(AutolabelError, match=r"0000\.png is there already"):
        made.export()
    assert contents(made.out) == before


def test_an_export_of_another_format_is_refused(made: Fixture) -> None:
    made.export("coco")
    with pytest.raises(AutolabelError, match="coco format") as e:
        made.export("yolo")
    assert "--out" in e.value.hint


def test_the_out_folder_must_be_a_folder(made: Fixture) -> None:
    made.out.write_text("mine")
    with pytest.raises(AutolabelError, match="not a folder"):
        made.export()


@pytest.mark.parametrize("files", [["../../photos/0000.png"], ["/etc/hostname"], [3], None])
def test_a_forged_marker_or_journal_removes_nothing(made: Fixture, files: Any) -> None:
    made.export()
    marker = json.dumps({"format": "coco", "files": files})
    journal = json.dumps({"gone": files, "marker": {"files": []}})
    for name, text in ((MARKER, marker), (f"{STAGING}/commit.json", journal)):
        path = made.out / name
        old = path.read_text() if path.exists() else None
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        with pytest.raises(AutolabelError, match="damaged"):
            made.export()
        assert not made.is_current()
        if old:
            path.write_text(old)
    assert len(list((made.root / "photos").iterdir())) == 5


def plant(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


def planted_marker(out: Path, away: Path) -> None:
    """A folder of theirs in the place of images/, and a note that all in it was exported."""
    out.mkdir()
    (out / "images").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": ["images/0000.png", "images/x/0001.png"]})


def planted_inner_link(out: Path, away: Path) -> None:
    (out / "images").mkdir(parents=True)
    (out / "images" / "old").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": ["images/old/0000.png"]})


def planted_journal(out: Path, away: Path) -> None:
    """A commit that moves their photos into the dataset."""
    files = ["images/train/0000.png"]
    marker = {"format": "coco", "files": files}
    plant(out / STAGING / "commit.json", {"gone": [], "marker": marker})
    (out / STAGING / "images").mkdir()
    (out / STAGING / "images" / "train").symlink_to(away)


def planted_staging(out: Path, away: Path) -> None:
    out.mkdir()
    (out / STAGING).symlink_to(away)


def planted_lock(out: Path, away: Path) -> None:
    out.mkdir()
    (out / ".autolabel-export.lock").symlink_to(away / "0000.png")


def planted_cache_folder(out: Path, away: Path) -> None:
    """What trainers keep beside the labels is deleted, but not over there."""
    out.mkdir()
    (away / "train.cache").write_text("theirs")
    (out / "labels").symlink_to(away)
    plant(out / MARKER, {"format": "coco", "files": []})


def planted_temporary_name(out: Path, away: Path) -> None:
    out.mkdir()
    (out / f".{MARKER}.tmp").symlink_to(away / "0000.png")


@pytest.mark.parametrize(
    ("lay", "refused"),
    [
        (planted_marker, True),
        (planted_inner_link, True),
        (planted_journal, True),
        (planted_staging, True),
        (planted_lock, True),
        (planted_cache_folder, False),
        (planted_temporary_name, False),
    ],
)
def test_nothing_is_written_or_deleted_by_way_of_a_link(
    made: Fixture, lay: Callable[[Path, Path], None], refused: bool
) -> None:
    away = made.root / "away"
    make_photos(away, 2)
    make_photos(away / "x", 2)
    lay(made.out, away)
    before = contents(away)
    if refused:
        with pytest.raises(AutolabelError, match=r"is a link|no export wrote it"):
            made.export()
    else:
        assert made.export().images == 5
    assert contents(away) == before


@pytest.mark.parametrize("error", [RuntimeError("crash"), KeyboardInterrupt(), OSError(28, "full")])
@pytest.mark.parametrize("after", [0, 2])
def test_a_failure_while_building_leaves_the_old_export(
    made: Fixture, monkeypatch: pytest.MonkeyPatch, error: BaseException, after: int
) -> None:
    made.export("yolo")
    before = contents(made.out)
    place, calls = export_room.place_image, []

    def fail(*args: Any) -> str:
        calls.append(args)
        if len(calls) > after:
            raise error
        return place(*args)

    made.write(*made.records[:3])
    monkeypatch.setattr(export_room, "place_image", fail)
    full = isinstance(error, OSError)
    expected, message = (AutolabelError, "written: full") if full else (type(error), None)
    with pytest.raises(expected, match=message):
        made.export("yolo")
    assert contents(made.out) == before
    assert not (made.out / STAGING).exists()


@pytest.mark.parametrize("moves", range(0, 16, 3))
def test_a_kill_while_moving_is_finished_by_the_next_run(made: Fixture, moves: int) -> None:
    """The process is gone, not just the call: nothing of ours cleans up after it."""
    made.export("yolo")
    (made.out / "images" / "train" / "own.png").write_text("mine")
    made.write(*(replace(r, objects=Objects.empty()) for r in made.records[:3]))
    script = f"""if True:
        import os, sys
        from pathlib import Path
        from autolabel.config import ExportConfig
        from autolabel.datasets.export import export
        from autolabel.ontology import Ontology
        from autolabel.store import Workspace
        from autolabel.datasets.publisher import STAGING
        left, out = [{moves}], Path(sys.argv[2])
        def counted(act):
            def run(self, *args, **kwargs):
                if STAGING in str(self) or "unlink" in act.__name__:
                    left[0] -= 1
                    if left[0] < 0 and (out / STAGING / "commit.json").exists():
                        os._exit(9)
                return act(self, *args, **kwargs)
            return run
        Path.replace, Path.unlink = counted(Path.replace), counted(Path.unlink)
        workspace, ontology = Workspace(Path(sys.argv[1])), Ontology.from_prompts(["cat", "dog"])
        config = ExportConfig(format="yolo", out=str(out))
        export(workspace, workspace.layer("images"), ontology, config)
    """
    command = [sys.executable, "-c", script, str(made.workspace.path), str(made.out)]
    assert subprocess.run(command, check=False).returncode == 9
    assert not made.is_current("yolo")
    assert made.export("yolo").images == 3
    assert made.is_current("yolo")
    labels = [f"labels/train/000{i}.txt" for i in range(3)]
    images = [f"images/train/000{i}.png" for i in range(3)]
    assert made.files() == ["data.yaml", *images, "images/train/own.png", *labels]
    assert all((made.out / label).read_bytes() == b"" for label in labels)
    assert not (made.out / STAGING).exists()


def test_a_second_export_into_the_same_folder_waits_for_nobody(made: Fixture) -> None:
    with (
        dataset_files(made.out).staged(lambda: None),
        pytest.raises(AutolabelError, match="another export"),
    ):
        made.export()
