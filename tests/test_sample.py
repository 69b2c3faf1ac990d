"""What the README claims of the small detector, on the hand-labelled sample photos."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from autolabel.cli import main
from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run

PROMPTS = ("red blood cell", "white blood cell", "platelet")
VALIDATION = SAMPLE / "blood_cells/validation"


@pytest.fixture(scope="module")
def labelled(detector: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """All the photos, with whatever the detector finds at a low score."""
    return found_in(VALIDATION, tmp_path_factory.mktemp("sample"), detector, "0.05", *PROMPTS)


@pytest.fixture(scope="module")
def some_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A third of the photos."""
    folder = tmp_path_factory.mktemp("some")
    for photo in sorted(VALIDATION.glob("*.jpg"))[::3]:
        shutil.copy(photo, folder)
    return folder


def found_in(photos: Path, home: Path, detector: Path, score: str, *prompts: str) -> Workspace:
    asked = [word for prompt in prompts for word in ("--prompt", prompt)]
    with pytest.raises(SystemExit, match=r"^0$"):
        main([
            "detect", str(photos), "-w", str(home / "ws"), "--model", str(detector),
            "--box-threshold", score, "--nms-iou", "0.6", *asked,
        ])  # fmt: skip
    return Workspace(home / "ws")


def counts(workspace: Workspace, *, of: Path, score: float) -> Counter[str]:
    """Labels of at least a score, on the photos of a folder.

    A lower threshold adds boxes and takes none away: greedy suppression goes from the best down.
    """
    names = {photo.name for photo in of.glob("*.jpg")}
    return Counter(
        label
        for record in workspace.require("detect").records()
        if Path(record.uri).name in names
        for label, sure in zip(record.objects.label, record.objects.score, strict=True)
        if sure >= score
    )


def test_words_find_blood_cells(run: Run, labelled: Workspace) -> None:
    given = ["--truth", VALIDATION, "--bootstrap", "0", "--json"]
    result = run("evaluate", labelled.path, *given).json()
    assert result["images"] == 72
    assert result["unmatched"] == []
    (row,) = result["rows"]
    assert row["ap50"] >= 0.80
    assert set(row["classes"]) == set(PROMPTS)


def test_other_words_find_other_things(
    labelled: Workspace, some_photos: Path, tmp_path: Path, detector: Path
) -> None:
    def asked(word: str) -> Counter[str]:
        workspace = found_in(some_photos, tmp_path / word, detector, "0.3", word)
        return counts(workspace, of=some_photos, score=0.3)

    every = counts(labelled, of=some_photos, score=0.3)
    platelets = asked("platelet")
    assert set(platelets) == {"platelet"}
    # red cells outnumber platelets eleven to one: were they taken for platelets, it would show
    assert platelets["platelet"] < 2 * every["platelet"]
    assert platelets["platelet"] > 0.5 * every["platelet"]
    assert asked("xylophone").total() < 0.05 * every.total()


@pytest.mark.parametrize("synonym", ["erythrocyte", "red cell"])
def test_several_prompts_make_one_class(
    some_photos: Path, tmp_path: Path, detector: Path, synonym: str
) -> None:
    prompt = f"RBC=red blood cell, {synonym}"
    found = counts(
        found_in(some_photos, tmp_path, detector, "0.3", prompt), of=some_photos, score=0
    )
    assert set(found) == {"RBC"}
    assert found["RBC"] > 170


def test_files_are_small_and_licensed() -> None:
    size = sum(p.stat().st_size for p in SAMPLE.rglob("*") if p.is_file())
    assert size < 20e6
    assert sum(p.stat().st_size for p in (SAMPLE / "models/detector").iterdir()) <= 8e6
    assert "MIT" in (SAMPLE / "blood_cells/LICENSE").read_text("utf-8")
    assert (SAMPLE / "blood_cells/SOURCE.txt").is_file()
