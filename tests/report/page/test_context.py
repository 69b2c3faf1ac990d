from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.store import Workspace
from autolabel.types import Objects
from tests.report import made
from tests.report.pages import PHOTO, report


def test_photos_that_failed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = made.workspace(tmp_path, photos=5)
    layer = home.layer("detect")
    for shard in layer.shards():
        rows = [replace(r, error="damaged", objects=Objects.empty()) for r in layer.read(shard)]
        layer.write(shard, [replace(rows[0], uri=PHOTO), *rows[1:]], layer.source_digest(shard))
    page = report(home)
    assert "5 × damaged" in page.text
    assert page.text.count(f"{PHOTO} : damaged") == len(layer.shards())
    assert "more: autolabel status" not in page.text
    monkeypatch.setattr("autolabel.report.layer_statistics._MOST_FAILED", 2)
    assert "And 3 more: autolabel status --errors names all." in report(home).text


def test_photos_that_were_moved_away(full: Workspace, tmp_path: Path) -> None:
    truth = tmp_path / "truth.json"
    shutil.copy(tmp_path / "photos/truth.json", truth)
    result = json.loads((full.path / "evaluate/result.json").read_text())["result"]
    made.write_result(full, {**result, "truth": str(truth)})
    shutil.rmtree(tmp_path / "photos")
    page = report(full)
    assert "3 photos could not be read and are not shown" in page.text
    assert "--source-root" in page.text
    assert "There is no photo with labels to show." in page.text
    truth.unlink()
    assert "The hand labels cannot be shown: no such file or folder" in report(full).text


def test_what_was_measured_before_the_settings_changed(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    old = made.workspace(tmp_path / "old", settings={"box_threshold": 0.1})
    shutil.copytree(old.path, home.path / "evaluate" / "abc")
    result = made.measured(home, made.truth(tmp_path / "old"))
    made.write_result(home, {**result, "workspace": "evaluate/abc"})
    page = report(home)
    assert "labelled by other settings (box_threshold 0.1, not 0.3)" in page.text
    made.write_result(home, {**result, "workspace": "../old/ws"})
    assert "no longer in this workspace" in report(home).text  # it lies outside


def test_a_student_of_labels_that_have_changed(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    same = home.layer("detect").fingerprint()
    made.trained(home, "tiny", layer="detect", layer_fingerprint=same)
    made.trained(home, "late", layer="detect", layer_fingerprint="other", state="unfinished")
    page = report(home)
    assert "late learned from labels that have changed since" in page.text
    assert "tiny learned from labels" not in page.text
    assert "The training of late is unfinished" in page.text
