"""Training: what it leaves, what never enters, that it repeats itself, and what it refuses."""

from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.config import RelabelConfig
from autolabel.engine.base import Progress
from autolabel.errors import AutolabelError
from autolabel.pipeline.products import train_student
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace, lock_names
from autolabel.train import TrainResult, load_student, train
from autolabel.types import Objects, Record
from tests.conftest import Run
from tests.train.conftest import (
    CPU,
    ONTOLOGY,
    draw_photos,
    labelled,
    listing,
    one_square,
    recipe,
    relabel,
    with_mask,
)

pytestmark = pytest.mark.usefixtures("offline")


def learn(made: tuple[Workspace, Layer], student: Path, **options: Any) -> TrainResult:
    overwrite = options.pop("overwrite", False)
    report = options.pop("report", lambda stage, count: Progress())
    say = options.pop("say", lambda text: None)
    return train(
        *made, ONTOLOGY, recipe(student, **options), CPU, overwrite=overwrite, report=report,
        say=say,
    )  # fmt: skip


def metrics(done: TrainResult) -> list[dict[str, str]]:
    text = (done.folder / "metrics.csv").read_text("utf-8")
    return list(csv.DictReader(text.splitlines()))


def run_json(done: TrainResult) -> Any:
    return json.loads((done.folder / "run.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> tuple[Any, TrainResult]:
    root = tmp_path_factory.mktemp("trained")
    made = labelled(root / "ws", draw_photos(root / "photos", 8))
    return made, learn(made, tiny)


def test_relabelled_labels_are_learned_by_their_new_names(tmp_path: Path, tiny: Path) -> None:
    workspace, _ = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 6))
    with workspace.lock():
        lock_names(workspace, ["circle"])
    config = RelabelConfig(rename={"square": "box"}, drop=("bar",))
    STAGES["relabel"].run(workspace, config, CPU)
    done, labels = train_student(workspace, recipe(tiny, epochs=1), CPU)
    assert labels.layer.name == "relabel"
    assert run_json(done)["classes"] == ["box", "circle"]
    assert load_student(done.folder, "cpu").names == ("box", "circle")
    assert (done.objects, done.unlearned) == (4, ("circle",))


def test_what_it_leaves(trained: tuple[Any, TrainResult]) -> None:
    made, done = trained
    assert sorted(p.name for p in done.folder.iterdir()) == [
        "best.pt", "last.pt", "metrics.csv", "run.json", "train.log",
    ]  # fmt: skip
    run = run_json(done)
    assert run["state"] == "complete"
    assert (done.images, done.val_images, done.objects) == (6, 2, 6)
    assert (run["images"], run["objects"], run["skipped"]) == (6, 6, {})
    assert run["classes"] == ["square", "bar"]
    assert done.unlearned == ("bar",)
    assert run["epochs_done"] == done.epochs == 2
    assert run["resumed_from"] == []
    assert run["machine"]
    assert run["threshold"] == done.threshold
    assert run["threshold"]["images"] == 2
    assert load_student(done.folder, "cpu").threshold == run["threshold"]["score"]
    rows = metrics(done)
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert {"precision", "recall", "ap50", "ap", "box_loss", "cls_loss"} <= set(rows[0])
    assert done.fresh
    assert not learn(made, Path(run["settings"]["student"])).fresh


def test_the_same_seed_gives_the_same_student(
    trained: tuple[Any, TrainResult], tiny: Path, tmp_path: Path
) -> None:
    made, first = trained
    again = learn(made, tiny, name="again")
    for name in ("best.pt", "last.pt", "metrics.csv"):
        assert (again.folder / name).read_bytes() == (first.folder / name).read_bytes(), name
    other = learn(made, tiny, name="other", seed=1)
    assert (other.folder / "metrics.csv").read_bytes() != (
        first.folder / "metrics.csv"
    ).read_bytes()


def test_it_learns(tmp_path: Path, tiny: Path) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 16))
    done = learn(
        made, tiny, epochs=30, optimizer="AdamW", lr0=0.01, mosaic=0.0, imgsz=128, cache=True,
    )  # fmt: skip
    losses = [float(row["cls_loss"]) for row in metrics(done)]
    assert losses[-1] < 0.7 * losses[0]


def test_settings_that_differ_are_refused(
    trained: tuple[Any, TrainResult], tiny: Path, tmp_path: Path
) -> None:
    made, first = trained
    with pytest.raises(AutolabelError, match=r"epochs 2, not 3") as refused:
        learn(made, tiny, epochs=3)
    assert "--overwrite" in refused.value.hint
    assert first.weights.is_file()


def test_other_labels_are_learned_anew(tmp_path: Path, tiny: Path) -> None:
    workspace, layer = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 4))
    first = learn((workspace, layer), tiny, epochs=1)

    def half(record: Record, i: int) -> Objects:
        return one_square(record, i) if i else Objects.empty()

    layer = relabel(workspace, workspace.layer("images"), half)
    with pytest.raises(AutolabelError, match="other labels"):
        learn((workspace, layer), tiny, epochs=1)
    second = learn((workspace, layer), tiny, epochs=1, overwrite=True, background_share=1.0)
    assert second.fresh
    assert second.folder == first.folder
    assert run_json(second)["fingerprint"] != ""


def test_held_out_photos_and_near_copies_do_not_enter(tmp_path: Path, tiny: Path) -> None:
    photos = draw_photos(tmp_path / "photos", 6)
    held = [tmp_path / "held" / p.name for p in photos[:2]]
    held[0].parent.mkdir()
    shutil.copy(photos[0], held[0])  # the very bytes
    pixels = np.array(Image.open(photos[1])).astype(int)
    near = np.clip(pixels + 2, 0, 255).astype(np.uint8)[:, ::-1]
    Image.fromarray(near).save(held[1])  # brighter, and a mirror image
    made = labelled(tmp_path / "ws", photos, near_bits=6)  # ingested without --holdout
    done = learn(made, tiny, epochs=1, holdout=[str(held[0].parent)], val_share=0.0)
    assert done.skipped["leak"] == 2
    assert done.images == 4
    with pytest.raises(AutolabelError, match=r"no kept label"):
        learn(made, tiny, name="none", holdout=[str(tmp_path / "photos")])


def test_hand_labels_name_the_photos_that_are_held_out(tmp_path: Path, tiny: Path) -> None:
    photos = draw_photos(tmp_path / "photos", 5)
    held = tmp_path / "held"
    held.mkdir()
    shutil.copy(photos[0], held / "a.png")
    image = {"id": 1, "file_name": "a.png", "width": 128, "height": 96}
    labels = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "square"}]}
    (held / "annotations.json").write_text(json.dumps(labels))
    made = labelled(tmp_path / "ws", photos)
    options = {"epochs": 1, "val_share": 0.0, "holdout": [str(held / "annotations.json")]}
    done = learn(made, tiny, **options)
    assert (done.skipped, done.images, done.held_out) == ({"leak": 1}, 4, 1)
    (held / "a.png").write_bytes((held / "a.png").read_bytes()[:100])
    with pytest.raises(AutolabelError, match=r"a\.png"):
        learn(made, tiny, name="other", **options)


def test_a_marked_leak_does_not_enter(tmp_path: Path, tiny: Path) -> None:
    photos = draw_photos(tmp_path / "photos", 5)
    made = labelled(tmp_path / "ws", photos, holdout=photos[:1])
    done = learn(made, tiny, epochs=1, val_share=0.0)
    assert (done.skipped, done.images, done.val_images) == ({"leak": 1}, 4, 0)


def test_background_is_used_in_its_share(tmp_path: Path, tiny: Path) -> None:
    def few(record: Record, i: int) -> Objects:
        return one_square(record, i) if i < 4 else Objects.empty()

    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 10), few)
    done = learn(made, tiny, epochs=1, val_share=0.0, background_share=0.2)
    assert (done.images, done.objects, done.skipped) == (5, 4, {"background": 5})
    none = learn(made, tiny, epochs=1, val_share=0.0, background_share=0.0, name="none")
    assert (none.images, none.skipped) == (4, {"background": 6})


def test_no_label_is_said_so(tmp_path: Path, tiny: Path) -> None:
    def rejected(record: Record, i: int) -> Objects:
        objects = one_square(record, i)
        return replace(objects, keep=np.zeros(1, bool))

    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 2), rejected)
    with pytest.raises(AutolabelError, match="detect/ has no kept label to learn from"):
        learn(made, tiny)
    assert not (tmp_path / "ws" / "train" / "tiny" / "run.json").exists()


def test_one_image_is_learned_without_a_val_part(tmp_path: Path, tiny: Path) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 1))
    done = learn(made, tiny)
    assert (done.images, done.val_images) == (1, 0)
    assert done.threshold["why"] == "no image could be spared to choose it on"
    assert load_student(done.folder, "cpu").threshold == 0.25
    assert load_student(done.folder, "cpu").names == ("square", "bar")
    assert [row["ap50"] for row in metrics(done)] == ["", ""]


def test_masks_are_learned_where_the_labels_have_them(
    tmp_path: Path, tiny_masks: Path, tiny: Path
) -> None:
    made = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 4), with_mask)
    said: list[str] = []
    done = learn(made, tiny_masks, say=said.append)
    student = load_student(done.folder, "cpu")
    assert student.masks
    boxes = learn(made, tiny, say=said.append)
    assert said == [
        "task: segment, since all kept labels have masks",
        f"task: detect, since student {tiny} finds boxes alone",
    ]
    assert (done.task, boxes.task) == ("segment", "detect")
    assert not load_student(boxes.folder, "cpu").masks
    with pytest.raises(AutolabelError, match="the task is segment"):
        learn(made, tiny, task="segment", name="wrong")


def test_what_the_trainer_cannot_read_is_written_anew_for_it(tmp_path: Path, tiny: Path) -> None:
    photos = draw_photos(tmp_path / "photos", 4)
    for photo, compression in zip(photos[:2], ("zstd", "lzma"), strict=True):
        Image.open(photo).save(photo.with_suffix(".tif"), compression=compression)
        photo.unlink()
    photos[:2] = [photo.with_suffix(".tif") for photo in photos[:2]]
    done = learn(labelled(tmp_path / "ws", photos), tiny, epochs=1, val_share=0.0)
    assert (done.images, done.rewritten) == (4, 2)


def test_nothing_is_written_elsewhere(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, here = tmp_path / "home", tmp_path / "here"
    home.mkdir()
    here.mkdir()
    photos = draw_photos(tmp_path / "photos", 3)
    made = labelled(tmp_path / "ws", photos)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(here)
    before = listing(tmp_path / "photos")
    learn(made, tiny, epochs=1, val_share=0.0)
    assert (listing(home), listing(here)) == ({}, {})
    assert listing(tmp_path / "photos") == before


def test_the_command(tmp_path: Path, tiny: Path, run: Run) -> None:
    workspace, _ = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 4))
    command = [
        "train", workspace.path, "--student", tiny, "--epochs", 2, "--imgsz", 64, "--batch", 4,
        "--device", "cpu",
    ]  # fmt: skip
    done = run(*command, "--json")
    assert done.status == 0, done.err
    assert done.json()["fresh"] is True
    assert "AGPL-3.0" in done.err
    assert "task: detect, since no kept label has a mask" in done.err
    assert "train: 2 epochs to do" in done.err
    assert "train: 2/2 epochs" in done.err
    assert "images/s" not in done.err
    assert "learn from, so that it will not be found: bar" in done.err
    again = run(*command)
    assert (again.status, again.out) == (0, "")
    assert "nothing to do" in again.err
    assert "AGPL-3.0" in run("train", "--help").out


@pytest.mark.parametrize("damage", [{"objects": None}, {"skipped": [1], "resumed_from": "x"}])
def test_a_student_whose_run_json_is_damaged_is_trained_anew(
    trained: tuple[Any, TrainResult], tiny: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    """A key is gone, or holds what it never holds: the same student is made once more."""
    (workspace, layer), first = trained
    home = Workspace(shutil.copytree(workspace.path, tmp_path / "ws"))
    made = home, home.require(layer.name)
    note = home.path / "train" / first.folder.name / "run.json"
    said = json.loads(note.read_text("utf-8")) | damage
    note.write_text(json.dumps({key: value for key, value in said.items() if value is not None}))
    again = learn(made, tiny)
    assert again.fresh
    assert (again.objects, again.skipped) == (first.objects, first.skipped)
    assert again.weights.read_bytes() == first.weights.read_bytes()
    assert not learn(made, tiny).fresh
