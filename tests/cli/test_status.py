"""What `status` tells of photos, classes, students and exports, and which files failed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from autolabel.store import Workspace
from autolabel.train.folder import COMPLETE, UNFINISHED, write_run
from tests.conftest import Run, make_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Six photos: one repeated, one held out, and seven files that are none."""
    folder = tmp_path / "photos"
    make_photos(folder, 6)
    shutil.copy(folder / "0000.png", folder / "again.png")
    (tmp_path / "held").mkdir()
    shutil.copy(folder / "0005.png", tmp_path / "held/a.png")
    for i in range(7):
        (folder / f"broken{i}.jpg").write_bytes(b"no image %d" % i)
    return folder


@pytest.fixture
def workspace(photos: Path, random_detector: Path, run: Run) -> Path:
    home = photos.parent / "ws"
    assert run("ingest", photos, "-w", home, "--holdout", photos.parent / "held").status == 0
    detected = run(
        "detect", home, "--model", random_detector, "--prompt", "dog", "--prompt", "cat",
        "--prompt", "white blood cell", "--box-threshold", "0.1",
    )  # fmt: skip
    assert detected.status == 0, detected.err
    return home


def test_photos_classes_exports_and_students_are_counted(
    run: Run, workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "400")  # paths of tests are long
    assert run("filter", workspace, "--min-score", "0.4").status == 0
    for style, out in (("coco", tmp_path / "away"), ("yolo", workspace / "export/yolo")):
        assert run("export", workspace, "--format", style, "--out", out).status == 0
    labels = Workspace(workspace).require("filter")
    for name, state, fingerprint in (
        ("good", COMPLETE, labels.fingerprint()),
        ("old", COMPLETE, "0"),
        ("begun", UNFINISHED, labels.fingerprint()),
    ):
        (workspace / "train" / name).mkdir(parents=True)
        run_file = {"state": state, "layer": "filter", "layer_fingerprint": fingerprint}
        more = {"epochs_done": 3, "settings": {"epochs": 9}}
        write_run(workspace / "train" / name, run_file | more)

    state = run("status", workspace, "--json").json()
    assert state["photos"] == {"duplicate": 1, "leak": 1, "pool": 12}
    assert state["labels"] == "filter"
    assert list(state["classes"]) == ["dog", "cat", "white blood cell"]
    layer = state["layers"]["filter"]
    assert sum(c["kept"] for c in state["classes"].values()) == layer["kept"] > 0
    rejected = sum(c["rejected"] for c in state["classes"].values())
    assert rejected == layer["objects"] - layer["kept"] > 0
    assert {s["name"]: s["state"] for s in state["students"]} == {
        "good": "current", "old": "stale", "begun": "unfinished",
    }  # fmt: skip
    exports = {Path(e["out"]).name: e for e in state["exports"]}
    assert {name: e["state"] for name, e in exports.items()} == {
        "away": "current", "yolo": "current",
    }  # fmt: skip
    assert exports["away"]["objects"] == layer["kept"]
    assert exports["away"]["images"] == 5

    text = run("status", workspace).out
    for words in ("1 leaks", "1 duplicates", "white blood cell", "away", "3 of 9", "unfinished"):
        assert words in text

    # other labels: what was made of the former ones is stale; a file gone: it is not whole
    assert run("filter", workspace, "--min-score", "0.5", "--overwrite").status == 0
    next((workspace / "export/yolo/images/train").iterdir()).unlink()
    state = run("status", workspace, "--json").json()
    assert {Path(e["out"]).name: e["state"] for e in state["exports"]} == {
        "away": "stale", "yolo": "unfinished",
    }  # fmt: skip
    assert {s["name"]: s["state"] for s in state["students"]}["good"] == "stale"
    shutil.rmtree(tmp_path / "away")
    assert len(run("status", workspace, "--json").json()["exports"]) == 1


@pytest.mark.parametrize("odd", [[], "x", {"a": []}])
def test_odd_notes_of_students_and_exports_stop_nothing(
    run: Run, workspace: Path, odd: object
) -> None:
    assert run("export", workspace, "--out", workspace / "data").status == 0
    marker = workspace / "data/.autolabel-export.json"
    note = json.loads(marker.read_text("utf-8"))
    for key in ("binding", "splits", "layer", "format", "objects"):
        note[key] = odd
    marker.write_text(json.dumps(note), "utf-8")
    (workspace / "train/odd").mkdir(parents=True)
    write_run(workspace / "train/odd", {"settings": odd, "layer": odd, "epochs_done": odd})
    state = run("status", workspace, "--json").json()
    assert [s["state"] for s in state["students"]] == ["unfinished"]
    assert [e["state"] for e in state["exports"]] == ["stale"]
    assert run("status", workspace).status == 0


def test_a_moved_workspace_knows_its_exports(run: Run, workspace: Path, tmp_path: Path) -> None:
    assert run("export", workspace, "--out", workspace / "data").status == 0
    moved = shutil.move(workspace, tmp_path / "moved")
    (export,) = run("status", moved, "--json").json()["exports"]
    assert (Path(export["out"]), export["state"]) == (tmp_path / "moved/data", "current")


def test_files_that_fail_are_named_with_the_reason(
    run: Run, workspace: Path, photos: Path, random_detector: Path
) -> None:
    (photos / "0001.png").unlink()
    make_photos(photos, 7)
    (photos / "0001.png").unlink()
    assert run("ingest", photos, "-w", workspace).status == 0
    detect = ["detect", workspace, "--prompt", "cat", "--model", random_detector, "--overwrite"]
    assert run(*detect).status == 0

    failed = run("status", workspace, "--errors", "--json").json()["errors"]
    assert [e["file"] for e in failed["images"]] == [f"broken{i}.jpg" for i in range(7)]
    assert all("not an image" in e["reason"] for e in failed["images"])
    assert failed["detect"] == [{"file": "0001.png", "reason": "missing"}]
    text = run("status", workspace, "--errors").out
    assert all(word in text for word in ("broken6.jpg", "failed in detect/", "missing"))
    assert "errors" not in run("status", workspace, "--json").json()
    assert "--errors" in run("status", workspace).out


def test_ingest_names_the_first_files_that_fail(run: Run, photos: Path, tmp_path: Path) -> None:
    said = run("ingest", photos, "-w", tmp_path / "ws2").err
    assert "  broken0.jpg: not an image" in said
    assert "broken4.jpg" in said
    assert "broken5.jpg" not in said
    assert "and 2 more" in said
    assert "--errors" in said


def test_a_dry_run_of_the_filter_shows_totals(run: Run, workspace: Path) -> None:
    options = ["filter", workspace, "--min-score", "0.5", "--min-side", "12"]
    tried = run(*options, "--dry-run", "--json").json()
    text = run(*options, "--dry-run").out
    assert run(*options).status == 0
    state = run("status", workspace, "--json").json()
    assert tried["kept"] == {name: c["kept"] for name, c in state["classes"].items()}
    assert tried["rejected"] == {name: c["rejected"] for name, c in state["classes"].items()}
    assert sum(tried["labels"].values()) == state["layers"]["detect"]["kept"]
    assert 0 < sum(tried["kept"].values()) < sum(tried["labels"].values())
    rows = [line.split("│") for line in text.splitlines() if "│" in line]
    totals = {row[1].strip(): row[3] for row in rows}
    assert int(totals["all rules"]) == sum(tried["rejected"].values())
    assert int(totals["labels"]) == sum(tried["labels"].values())
    assert int(totals["left"]) == sum(tried["kept"].values())
