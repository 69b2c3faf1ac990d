"""Photos that are replaced, go and come back."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run, make_photos


@pytest.fixture
def photos(tmp_path: Path, run: Run) -> Path:
    """Four photos, all ingested into ``ws``."""
    make_photos(tmp_path / "photos", 4)
    assert run("ingest", tmp_path / "photos", "-w", tmp_path / "ws").status == 0
    return tmp_path / "photos"


def rows(workspace: Path, layer: str = "images") -> list[tuple[str, str]]:
    records = Workspace(workspace).require(layer).records()
    return [(record.uri, record.split) for record in records]


def test_a_photo_replaced_under_an_older_date_is_new(
    run: Run, tmp_path: Path, photos: Path
) -> None:
    other = make_photos(tmp_path / "other", 5)[4]
    os.utime(other, (1_000_000_000, 1_000_000_000))
    shutil.copy2(other, photos / "0001.png")
    assert "1 images done" in run("ingest", photos, "-w", tmp_path / "ws").err
    assert "nothing to do" in run("ingest", photos, "-w", tmp_path / "ws").err
    assert len(rows(tmp_path / "ws")) == 5


def test_a_folder_in_the_place_of_another_is_looked_at(
    run: Run, tmp_path: Path, photos: Path
) -> None:
    new = make_photos(tmp_path / "new", 9)
    for i, path in enumerate(new[5:]):
        path.rename(tmp_path / "new" / f"{i:04d}.png")
    for path in tmp_path.glob("new/*.png"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    photos.rename(tmp_path / "old")
    (tmp_path / "new").rename(photos)
    assert "5 images done" in run("ingest", photos, "-w", tmp_path / "ws").err  # one is unknown


def test_nothing_is_read_where_nothing_changed(
    run: Run, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Any) -> bytes:
        raise AssertionError(f"{path} was read")

    monkeypatch.setattr("autolabel.stages.present.read_bytes", refuse)
    assert "nothing to do" in run("ingest", photos, "-w", tmp_path / "ws").err
    (tmp_path / "ws/scan/stamps.json").write_text('{"0000.png": 7', "utf-8")
    assert "nothing to do" in run("ingest", photos, "-w", tmp_path / "ws").err


def test_what_is_gone_is_marked_and_taken_again_when_it_is_back(
    run: Run, tmp_path: Path, photos: Path
) -> None:
    workspace = tmp_path / "ws"
    away = (photos / "0002.png").rename(tmp_path / "away.png")
    assert "nothing to do" in run("ingest", photos, "-w", workspace).err
    done = run("ingest", photos, "-w", workspace, "--prune", "--json")
    assert "1 gone" in done.err
    assert done.json()["images"]["splits"] == {"gone": 1, "pool": 3}
    assert run("status", workspace, "--json").json()["layers"]["images"]["splits"]["gone"] == 1
    names = [f"000{i}.png" for i in range(4)]
    assert rows(workspace) == [
        (n, "gone" if n == "0002.png" else "pool") for n in names
    ]  # each row keeps its place
    assert "nothing to do" in run("ingest", photos, "-w", workspace, "--prune").err
    away.rename(photos / "0002.png")
    run("ingest", photos, "-w", workspace)
    assert rows(workspace) == [(n, "pool") for n in names]


def test_of_a_replaced_photo_the_old_row_is_gone(run: Run, tmp_path: Path, photos: Path) -> None:
    workspace = tmp_path / "ws"
    shutil.copy(photos / "0001.png", tmp_path / "before.png")
    make_photos(tmp_path / "other", 5)[4].replace(photos / "0001.png")
    run("ingest", photos, "-w", workspace, "--prune")
    assert [split for uri, split in rows(workspace) if uri == "0001.png"] == ["gone", "pool"]
    shutil.copy(tmp_path / "before.png", photos / "0001.png")
    run("ingest", photos, "-w", workspace, "--prune")
    assert [split for uri, split in rows(workspace) if uri == "0001.png"] == ["pool", "gone"]


def test_only_what_is_named_is_pruned(run: Run, tmp_path: Path, photos: Path) -> None:
    make_photos(tmp_path / "disk", 6)
    workspace = tmp_path / "ws2"
    run("ingest", photos, tmp_path / "disk", "-w", workspace)
    shutil.rmtree(tmp_path / "disk")  # as when it is not mounted
    (photos / "0000.png").unlink()
    run("ingest", photos, "-w", workspace, "--prune")
    assert [uri for uri, split in rows(workspace) if split == "gone"] == ["photos/0000.png"]


def test_every_command_goes_on_without_a_photo(
    run: Run, tmp_path: Path, detector: Path, segmenter: Path
) -> None:
    photos, workspace = tmp_path / "photos", tmp_path / "ws"
    photos.mkdir()
    for path in sorted((SAMPLE / "blood_cells/unlabeled").iterdir())[:3]:
        shutil.copy(path, photos)
    prompts = ("--prompt", "red blood cell", "--prompt", "platelet")
    threshold = ("--box-threshold", 0.3)
    run("detect", photos, "-w", workspace, "--model", detector, *prompts, *threshold)
    deleted = min(photos.iterdir())
    deleted.unlink()
    shown = run("preview", workspace, "--out", tmp_path / "drawn")
    assert shown.status == 0, shown.err
    assert "1 images could not be read" in shown.err
    assert len(list((tmp_path / "drawn").glob("image-*.png"))) == 2
    refined = run("refine", workspace, "--model", segmenter)
    assert refined.status == 0, refined.err
    assert "1 errors" in refined.err
    out = tmp_path / "out"
    exported = run("export", workspace, "--out", out, "--json")
    assert exported.status == 0, exported.err
    assert (exported.json()["images"], sum(exported.json()["skipped"].values())) == (2, 1)
    assert run("report", workspace, "--out", tmp_path / "page.html").status == 0

    run("ingest", photos, "-w", workspace, "--prune")
    for stage in (["detect", workspace, "--model", detector, *threshold], ["refine", workspace]):
        model = ["--model", segmenter] if stage[0] == "refine" else []
        done = run(*stage, *model)
        assert done.status == 0, done.err
        assert "1 gone" in done.err
    exported = run("export", workspace, "--out", out, "--json")
    assert exported.json()["skipped"] == {"gone": 1}
    for path in photos.iterdir():
        path.unlink()
    refused = run("preview", workspace, "--out", tmp_path / "none")
    assert refused.status == 1
    assert "none of the 2 images can be read" in refused.err


def test_a_note_of_times_of_a_terabyte_is_written_anew(
    run: Run, tmp_path: Path, photos: Path
) -> None:
    note = tmp_path / "ws/scan/stamps.json"
    before = note.read_bytes()
    with note.open("r+b") as file:
        file.truncate(2**40)
    assert "nothing to do" in run("ingest", photos, "-w", tmp_path / "ws").err
    assert note.stat().st_size == len(before)
    assert note.read_bytes() == before
