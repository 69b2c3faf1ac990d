"""What the README claims of the small detector, on the hand-labelled sample photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run

PROMPTS = ("red blood cell", "white blood cell", "platelet")
VALIDATION = SAMPLE / "blood_cells/validation"


def detect(run: Run, workspace: Path, detector: Path, threshold: str, *prompts: str) -> Path:
    asked = [word for prompt in prompts for word in ("--prompt", prompt)]
    done = run(
        "detect", VALIDATION, "-w", workspace, "--model", detector, "--box-threshold", threshold,
        "--nms-iou", "0.6", *asked,
    )  # fmt: skip
    assert done.status == 0, done.err
    return workspace


def found(workspace: Path) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in Workspace(workspace).require("detect").records():
        for label in record.objects.label:
            counts[label] = counts.get(label, 0) + 1
    return counts


def test_words_find_blood_cells(run: Run, tmp_path: Path, detector: Path) -> None:
    workspace = detect(run, tmp_path / "ws", detector, "0.05", *PROMPTS)
    result = run("evaluate", workspace, "--truth", VALIDATION, "--bootstrap", "0", "--json").json()
    assert result["images"] == 72
    assert result["unmatched"] == []
    (row,) = result["rows"]
    assert row["ap50"] >= 0.80
    assert set(row["classes"]) == set(PROMPTS)


def test_other_words_find_other_things(run: Run, tmp_path: Path, detector: Path) -> None:
    every = found(detect(run, tmp_path / "all", detector, "0.3", *PROMPTS))
    platelets = found(detect(run, tmp_path / "one", detector, "0.3", "platelet"))
    nonsense = found(detect(run, tmp_path / "none", detector, "0.3", "xylophone"))
    assert set(platelets) == {"platelet"}
    # red cells outnumber platelets eleven to one: were they taken for platelets, it would show
    assert platelets["platelet"] < 2 * every["platelet"]
    assert platelets["platelet"] > 0.5 * every["platelet"]
    assert sum(nonsense.values()) < 0.05 * sum(every.values())


@pytest.mark.parametrize("synonym", ["erythrocyte", "red cell"])
def test_several_prompts_make_one_class(
    run: Run, tmp_path: Path, detector: Path, synonym: str
) -> None:
    counts = found(detect(run, tmp_path / "ws", detector, "0.3", f"RBC=red blood cell, {synonym}"))
    assert set(counts) == {"RBC"}
    assert counts["RBC"] > 500


def test_files_are_small_and_licensed() -> None:
    size = sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file())
    assert size < 20e6
    assert sum(p.stat().st_size for p in (SAMPLE / "models/detector").iterdir()) <= 8e6
    assert "MIT" in (SAMPLE / "blood_cells/LICENSE").read_text("utf-8")
    assert (SAMPLE / "blood_cells/SOURCE.txt").is_file()
