"""The same student on hand labels: what it is trained on, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

import autolabel.train
from autolabel.store import Layer
from tests.conftest import Run
from tests.evaluate.scene import AWAY, BOX, Scene, measured, rows_of, write_truth
from tests.evaluate.standin import stand_in, write_student


@pytest.fixture
def trained(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> list[SimpleNamespace]:
    """Students are stand-ins, and so is training; the list holds what was to be trained."""
    stand_in(monkeypatch)
    calls: list[SimpleNamespace] = []

    def train(workspace: Any, layer: Layer, ontology: Any, config: Any, *_: Any, **__: Any) -> Any:
        folder = workspace.path / "train/small"
        calls.append(SimpleNamespace(
            config=config, names=ontology.names, records=list(layer.records()),
            root=workspace.source_root, fresh=not folder.exists(),
        ))  # fmt: skip
        found = {path: [["cat", 0.9, BOX], ["dog", 0.9, AWAY]] for path in scene.held}
        write_student(folder, ontology.names, found)
        return SimpleNamespace(weights=folder / "best.pt")

    monkeypatch.setattr(autolabel.train, "train", train)
    return calls


def pool(scene: Scene) -> list[Path]:
    return sorted(scene.held[0].parents[1].glob("photos/*.png"))


def hand(folder: Path, photos: list[Path], boxes: dict[str, list[int]]) -> Path:
    folder.mkdir()
    copies = [Path(shutil.copy(path, folder)) for path in photos]
    write_truth(folder, copies, boxes)
    return folder


def test_the_share_of_hand_label_performance(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path
) -> None:
    recipe = {"epochs": 7, "student": "some.yaml", "name": "small"}
    scene.student("small", ["cat", 0.9, BOX], layer="filter", settings=recipe, masks=False)
    labels = hand(tmp_path / "hand", pool(scene), {"CAT": BOX, "dog": AWAY})
    result = measured(run, scene, "--reference", labels)
    rows = rows_of(result)
    assert [(r["name"], r["kind"]) for r in result["rows"][2:]] == [
        ("small", "student"), ("small on hand labels", "reference"),
    ]  # fmt: skip
    assert rows["small on hand labels"]["ap50"] == pytest.approx(1)
    share = result["reference"]["share"]["ap50"]
    assert (result["reference"]["of"], result["reference"]["minus"]) == (
        "small", "small on hand labels",
    )  # fmt: skip
    assert share["value"] == pytest.approx(0.5)
    assert share["interval"] == pytest.approx([0.5, 0.5])  # every photo is alike
    (call,) = trained
    assert (call.config.epochs, call.config.student, call.config.task) == (7, "some.yaml", "detect")
    assert call.names == ("cat", "dog")
    assert {r.uri for r in call.records if r.usable} == {path.name for path in pool(scene)}
    for record in call.records:  # whatever the filter rejected
        assert record.objects.kept.label.tolist() == ["cat", "dog"]
        assert record.objects.xyxy[0].tolist() == BOX
    assert call.root == pool(scene)[0].parent
    assert set(call.config.holdout) == {str(path) for path in scene.held}
    done = run(
        "evaluate", scene.home, "--truth", scene.truth, "--reference", labels,
        "--speed-images", 0, "--bootstrap", 40, "--device", "cpu",
    )  # fmt: skip
    assert "small reaches 50.0% (95 %: 50.0% to 50.0%) of the AP50" in done.err
    assert [call.fresh for call in trained] == [True, False]  # the same folder: nothing to do


def test_hand_labels_of_some_of_the_images(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path
) -> None:
    scene.student("small", ["cat", 0.9, BOX], layer="filter", masks=False)
    labels = hand(tmp_path / "hand", pool(scene)[:2], {"cat": BOX})
    result = measured(run, scene, "--reference", labels)
    assert [r.uri for r in trained[0].records if r.usable] == [p.name for p in pool(scene)[:2]]
    assert (result["reference"]["images"], result["reference"]["possible"]) == (2, 6)
    assert any("2 of the 6 images" in note for note in result["notes"])


@pytest.mark.parametrize("change", ["same", "near", "turned"])
def test_photos_that_are_measured_on_are_refused(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path, change: str
) -> None:
    scene.student("small", ["cat", 0.9, BOX], layer="filter", masks=False)
    labels = hand(tmp_path / "hand", [*pool(scene), scene.held[0]], {"cat": BOX})
    photo = labels / scene.held[0].name
    if change != "same":
        picture = Image.open(photo)
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if change == "turned" else (
            picture.point(lambda v: min(255, v + 3))
        )  # fmt: skip
        picture.save(photo)
    done = run("evaluate", scene.home, "--truth", scene.truth, "--reference", labels)
    assert done.status == 1
    assert "holds 1 of the photos that are measured on" in done.err
    assert photo.name in done.err
    assert not trained


def test_what_a_reference_needs(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path
) -> None:
    labels = hand(tmp_path / "hand", pool(scene), {"cat": BOX})
    asked = ("evaluate", scene.home, "--truth", scene.truth, "--reference", labels)
    done = run(*asked)
    assert done.status == 2
    assert "--reference needs a student" in done.err
    folder = scene.student("small", ["cat", 0.9, BOX], layer="filter", masks=True)
    done = run(*asked)
    assert done.status == 1
    assert "the hand labels of --reference have none" in done.err
    elsewhere = Path(shutil.copy(folder / "best.pt", tmp_path / "elsewhere.pt"))
    done = run(*asked, "--student", elsewhere)
    assert done.status == 1
    assert "was not" in done.err
    other = tmp_path / "other"
    other.mkdir()
    Image.new("RGB", (96, 64), "red").save(other / "red.png")
    write_truth(other, [other / "red.png"], {"cat": BOX})
    done = run(*asked[:-1], other)
    assert done.status == 1
    assert "red.png: not in the layer" in done.err
    done = run(*asked, "--class-map", "catz=cat")
    assert "did you mean 'cat'?" in done.err
    assert not trained


@pytest.mark.parametrize("settings", ["x", {"epochs": "many"}, [1]])
def test_a_recipe_that_is_damaged_is_refused(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path, settings: Any
) -> None:
    scene.student("small", ["cat", 0.9, BOX], layer="filter", masks=False, settings=settings)
    labels = hand(tmp_path / "hand", pool(scene), {"cat": BOX})
    done = run("evaluate", scene.home, "--truth", scene.truth, "--reference", labels)
    assert done.status == 1
    assert "run.json" in done.err
    assert not trained


def test_hand_labels_stay_out_of_everything_else(
    run: Run, scene: Scene, trained: list[SimpleNamespace], tmp_path: Path
) -> None:
    """They lie in a workspace of their own; no layer of the pool changes."""
    scene.student("small", ["cat", 0.9, BOX], layer="filter", masks=False)
    before = json.loads(run("status", scene.home, "--json").out)["layers"]
    labels = hand(tmp_path / "hand", pool(scene), {"cat": BOX})
    measured(run, scene, "--reference", labels)
    assert json.loads(run("status", scene.home, "--json").out)["layers"] == before
    (beside,) = (scene.home / "evaluate").glob("reference-*")
    assert sorted(p.name for p in beside.iterdir() if p.is_dir()) == ["images", "train", "truth"]
