"""What is exported: which images, objects and masks, and what is counted."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autolabel.datasets.ground_truth import read_ground_truth, read_hand_labels
from autolabel.datasets.publisher import MARKER
from autolabel.errors import AutolabelError
from autolabel.types import Objects
from tests.conftest import Run
from tests.datasets.conftest import WIDTH, Fixture, contents

LOST = {"evidence": 5, "rejected": 5}


OUTLINES_LOSE = {"scores": 15, "seams": 5, "boxes_as_outlines": 5}


@pytest.mark.parametrize(
    ("format_name", "values", "task", "lost"),
    [
        ("yolo", {}, "segment", {"scores": 15, "seams": 5, "boxes_as_outlines": 5}),
        (
            "yolo",
            {"task": "segment"},
            "segment",
            {"scores": 15, "seams": 5, "boxes_as_outlines": 5},
        ),
        ("yolo", {"task": "detect"}, "detect", {"scores": 15, "masks": 10}),
        ("coco", {}, "segment", {}),
        ("coco", {"coco_masks": "polygon"}, "segment", {"holes": 5}),
        ("coco", {"task": "detect"}, "detect", {"masks": 10}),
    ],
)
def test_the_task_is_chosen_and_what_is_lost_is_counted(
    masked: Fixture, format_name: str, values: dict[str, Any], task: str, lost: dict[str, int]
) -> None:
    done = masked.export(format_name, **values)
    assert (done.objects, done.task, done.lost) == (15, task, lost | LOST)
    asked = "as asked" if "task" in values else "since 66 % of the kept labels have masks"
    assert done.reason == asked
    assert masked.is_current(format_name, **values)
    other = "detect" if task == "segment" else "segment"
    assert not masked.is_current(format_name, **{**values, "task": other})


@pytest.mark.parametrize("format_name", ["coco", "csv", "voc", "yolo"])
def test_an_export_in_splits_is_known_by_its_note(made: Fixture, format_name: str) -> None:
    made.export(format_name, val_share=0.4)
    with pytest.raises(AutolabelError, match=re.escape(f"{MARKER} says so")):
        read_hand_labels(made.out)


def test_masks_that_are_asked_for_must_be_there(made: Fixture) -> None:
    assert made.export("yolo").reason == "since no kept label has a mask"
    with pytest.raises(AutolabelError, match="no kept label of images/ has a mask") as e:
        made.export("yolo", task="segment")
    assert "--task detect" in e.value.hint


def test_the_command_says_the_task_and_what_is_lost(masked: Fixture, run: Run) -> None:
    masked.label()
    command = ("export", masked.workspace.path, "--out", masked.out, "--format", "yolo")
    done = run(*command)
    assert done.status == 0, done.err
    assert "task: segment, since 66 % of the kept labels have masks" in done.err
    assert "15 scores" in done.err
    assert "5 rejected objects" in done.err
    shown = run(*command, "--task", "detect", "--json").json()
    assert (shown["task"], shown["lost"]["masks"]) == ("detect", 10)
    wrong = run(*command, "--coco-masks", "polygon")
    assert wrong.status == 2
    assert "--coco-masks cannot be polygon: the format is yolo" in wrong.err
    wrong = run(*command, "--polygons")
    assert wrong.status == 2
    assert "the format is yolo" in wrong.err


def test_masks_that_a_format_cannot_hold_are_not_to_be_asked_for(masked: Fixture, run: Run) -> None:
    masked.label()
    command = ("export", masked.workspace.path, "--out", masked.out, "--task", "detect")
    assert "--task segment writes masks" in run(*command, "--format", "coco").err
    shutil.rmtree(masked.out)
    said = run(*command[:-2], "--format", "voc").err
    assert "10 masks" in said
    assert "--task segment" not in said


def test_boxes_that_their_outlines_do_not_stand_for_are_counted(masked: Fixture) -> None:
    (row, *_) = masked.workspace.layer("images").records()
    loose = row.objects.xyxy.copy()
    loose[0] += [-4, -4, 4, 4]
    masked.write(replace(row, objects=replace(row.objects, xyxy=loose)), *masked.records[1:])
    assert masked.export("yolo").lost["boxes"] == 1
    assert "boxes" not in masked.export("yolo", task="detect").lost


def test_what_is_not_usable_is_counted(made: Fixture) -> None:
    a, b, c, d, e = made.records
    made.write(
        a,
        replace(b, split="leak"),
        replace(c, error="truncated"),
        replace(d, split="duplicate"),
        e,
        a,
    )
    done = made.export()
    assert done.images == 2
    assert done.skipped == {"duplicate": 2, "leak": 1, "unreadable": 1}


def test_missing_and_changed_images_are_counted_and_tried_again(made: Fixture) -> None:
    photos = sorted((made.root / "photos").iterdir())
    gone = photos[0].rename(made.root / "away.png")
    photos[1].write_bytes(photos[2].read_bytes())
    done = made.export()
    assert done.images == 3
    assert done.skipped == {"changed": 1, "missing": 1}
    assert done.problems[0] == "photos/0000.png: missing"
    assert not made.is_current()
    gone.rename(photos[0])
    assert made.export().images == 4


def test_nothing_to_export_is_an_error_and_leaves_the_old_export(made: Fixture) -> None:
    made.export()
    before = made.files()
    shutil.move(made.root / "photos", made.root / "moved")
    with pytest.raises(AutolabelError, match="none of the 5 images") as e:
        made.export()
    assert "--source-root" in e.value.hint
    made.write(replace(made.records[0], split="leak"))
    with pytest.raises(AutolabelError, match="1 leak"):
        made.export()
    assert made.files() == before


def test_boxes_are_cut_at_the_border_and_dropped_without_area(made: Fixture) -> None:
    boxes = [[-5, -5, 200, 30], [300, 0, 400, 9], [5, 5, 5, 9]]
    objects = Objects.create(["cat"] * 3, [1] * 3, boxes)
    made.write(replace(made.records[0], objects=objects))
    done = made.export("yolo")
    assert (done.objects, done.empty_boxes) == (1, 2)
    (image,) = read_ground_truth(made.out).records
    np.testing.assert_allclose(image.objects.xyxy, [[0, 0, WIDTH, 30]], atol=1e-3)


def test_a_label_that_is_not_in_the_ontology_is_named(made: Fixture) -> None:
    made.write(replace(made.records[0], objects=Objects.create(["cow"], [1], [[0, 0, 9, 9]])))
    with pytest.raises(AutolabelError, match="cow"):
        made.export()
    assert made.files() == []


def test_an_export_is_current_until_something_changes(made: Fixture) -> None:
    assert not made.is_current()
    made.export()
    assert made.is_current()
    assert not made.is_current("yolo")
    assert not made.is_current(seed=1)
    (made.out / "images" / "train" / "0000.png").unlink()
    assert not made.is_current()
    made.export()
    assert made.is_current()
    made.write(*made.records[1:])
    assert not made.is_current()


def test_the_same_labels_give_the_same_bytes(made: Fixture) -> None:
    made.export(val_share=0.4, out=str(made.root / "a"))
    made.export(val_share=0.4, out=str(made.root / "b"))
    first, second = contents(made.root / "a"), contents(made.root / "b")
    del first[MARKER], second[MARKER]  # names the folder
    assert first == second


@pytest.mark.parametrize("format_name", ["coco", "csv", "voc", "yolo"])
def test_an_export_that_comes_back_as_it_went_changes_nothing(
    masked: Fixture, run: Run, format_name: str
) -> None:
    masked.label()
    ws, out = masked.workspace.path, masked.out
    done = run("export", ws, "--format", format_name, "--out", out, "--val-share", 0.4)
    assert done.status == 0, done.err
    found = run("import", out, "-w", ws, "--dry-run", "--json").json()
    assert (found["images"], found["unchanged"], found["decisions"]) == (5, 15, {})
    assert (found["unmatched"], found["left_out"], found["not_looked_at"]) == ([], {}, 0)
