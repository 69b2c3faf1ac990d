"""Hand-labelled photos that lie in the pool are measured where they are."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import Run
from tests.evaluate.scene import AWAY, BOX, Scene, measured, rows_of, write_truth
from tests.evaluate.standin import stand_in, write_student


def pool_of(scene: Scene) -> list[Path]:
    return sorted(scene.held[0].parents[1].glob("photos/*.png"))


def labelled(folder: Path, photos: list[Path]) -> Path:
    folder.mkdir()
    copies = [Path(shutil.copy(path, folder)) for path in photos]
    write_truth(folder, copies, {"cat": BOX, "dog": AWAY})
    return folder


def finds_cats(scene: Scene, photos: list[Path], **run: str) -> None:
    found = {path: [["cat", 0.9, BOX]] for path in photos}
    write_student(scene.home / "train/small", ("cat", "dog"), found, layer="filter", **run)


def test_they_are_measured_in_place_although_other_photos_are_held_out(
    run: Run, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    photos = pool_of(scene)[:2]
    finds_cats(scene, pool_of(scene))
    truth = labelled(tmp_path / "hand", photos)
    result = measured(run, Scene(scene.home, photos, truth))
    assert (result["workspace"], result["images"], result["without_truth"]) == (".", 2, 4)
    rows = rows_of(result)
    assert rows["small"]["classes"]["cat"]["tp"] == 2
    assert rows["filter"]["classes"]["cat"]["truth"] == 2
    assert any("belong to the pool" in note for note in result["notes"])
    # Nothing is labelled anew, and the student looks at these photos alone.
    assert [p.name for p in (scene.home / "evaluate").iterdir()] == ["result.json"]
    records = Workspace(scene.home).require("student/small").records()
    assert {r.uri for r in records if len(r.objects)} == {p.name for p in photos}


def test_labels_of_the_pool_are_those_that_are_there(
    run: Run, scene: Scene, tmp_path: Path
) -> None:
    """What is measured is the layer itself: what its filter rejected is not found."""
    done = run("filter", scene.home, "--min-side", 5000, "--overwrite")
    assert done.status == 0, done.err
    truth = labelled(tmp_path / "hand", pool_of(scene)[:2])
    rows = rows_of(measured(run, Scene(scene.home, [], truth)))
    assert rows["filter"]["recall"] == 0
    assert sum(one["predicted"] for one in rows["filter"]["classes"].values()) == 0


def test_of_photos_in_and_outside_the_pool_those_in_it_are_measured(
    run: Run, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    photos = pool_of(scene)[:2]
    finds_cats(scene, [*photos, *scene.held])
    truth = labelled(tmp_path / "hand", [*photos, scene.held[0]])
    result = measured(run, Scene(scene.home, photos, truth))
    assert (result["workspace"], result["images"]) == (".", 2)
    assert result["unmatched"] == [scene.held[0].name]
    assert rows_of(result)["small"]["classes"]["cat"]["truth"] == 2


def test_they_are_labelled_anew_where_that_is_asked_for(
    run: Run, scene: Scene, tmp_path: Path
) -> None:
    truth = labelled(tmp_path / "hand", pool_of(scene)[:2])
    in_place = measured(run, Scene(scene.home, [], truth))
    anew = measured(run, Scene(scene.home, [], truth), "--label-truth")
    assert in_place["workspace"] == "." != anew["workspace"]
    assert (scene.home / anew["workspace"] / "filter").is_dir()
    assert anew["images"] == in_place["images"] == 2
    for ours, theirs in zip(anew["rows"], in_place["rows"], strict=True):
        assert (ours["name"], ours["ap50"]) == (theirs["name"], theirs["ap50"])


def test_without_a_student_there_is_nothing_to_warn_of(
    run: Run, scene: Scene, tmp_path: Path
) -> None:
    truth = labelled(tmp_path / "hand", pool_of(scene)[:2])
    result = measured(run, Scene(scene.home, [], truth))
    assert not any("belong to the pool" in note for note in result["notes"])
