from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from autolabel.config import ImportConfig
from autolabel.corrections.decisions import Decision
from autolabel.corrections.importing import ImportSummary, class_names, decide
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.errors import AutolabelError
from autolabel.ops import masks
from autolabel.types import Correction, Objects, Record

WIDTH, HEIGHT = 100, 80
Row = tuple[str, list[float]]
A, B, C = [0.0, 0, 20, 20], [40.0, 40, 60, 60], [70.0, 5, 90, 30]


def objects(*rows: Row, **more: Any) -> Objects:
    boxes = np.array([box for _, box in rows], float).reshape(-1, 4)
    return Objects.create([label for label, _ in rows], [1] * len(rows), boxes, **more)


def labelled(found: Objects, names: list[str], ignore: list[int] = (), **more: Any) -> GroundTruth:  # type: ignore[assignment]
    ignored = np.isin(np.arange(len(found)), ignore)
    image = GroundTruthImage("a.jpg", None, None, WIDTH, HEIGHT, found, ignored, **more)
    return GroundTruth(tuple(names), (image,), Path("x"), Path("x"))


def said(
    mine: Objects,
    truth: GroundTruth,
    known: tuple[str, ...] = ("cat", "dog"),
    **options: Any,
) -> tuple[list[Decision], ImportSummary]:
    config, summary = ImportConfig(**options), ImportSummary("x")
    pairs = [(Record("id", "a.jpg", WIDTH, HEIGHT), truth.records[0])]
    classes = class_names(truth, known, config.class_map)
    shown = ("filter", "f00")
    return [*decide(pairs, {"id": mine}, classes, config, summary, shown)], summary


def actions(found: list[Decision]) -> list[str]:
    return sorted(one.action for one in found)


def square(x: int, y: int, side: int) -> bytes:
    mask = np.zeros((1, HEIGHT, WIDTH), bool)
    mask[0, y : y + side, x : x + side] = True
    return masks.encode(mask)[0]


def test_an_image_that_came_back_as_it_went_says_nothing_unless_told() -> None:
    mine = objects(("cat", A), ("dog", B))
    truth = labelled(objects(("dog", B), ("cat", A)), ["dog", "cat"])
    found, summary = said(mine, truth)
    assert (found, summary.unchanged, summary.changed_images) == ([], 2, 0)
    found, summary = said(mine, truth, unchanged="confirm", by="anna")
    assert actions(found) == ["confirmed"] * 2
    assert (summary.unchanged, summary.changed_images) == (0, 0)
    assert {(one.who, one.layer, one.fingerprint, one.via) for one in found} == {
        ("anna", "filter", "f00", "import")
    }
    assert summary.decisions == {"confirmed": 2}


def test_a_change_confirms_the_rest_of_its_image_unless_told_not_to() -> None:
    mine = objects(("cat", A), ("dog", B))
    truth = labelled(objects(("cat", A), ("dog", B), ("cat", C)), ["cat", "dog"])
    found, summary = said(mine, truth)
    assert actions(found) == ["confirmed", "confirmed", "drawn"]
    assert summary.changed_images == 1
    found, summary = said(mine, truth, unchanged="leave")
    assert actions(found) == ["drawn"]
    assert summary.unchanged == 2


def test_who_the_file_names_comes_before_who_is_given() -> None:
    one = Correction("confirmed", "ben", "2026-01-01")
    truth = labelled(objects(("cat", A), correction=[one]), ["cat"])
    (found,), _ = said(objects(("cat", A)), truth, by="anna")
    assert (found.action, found.who, found.when) == ("confirmed", "ben", "2026-01-01")


def test_what_is_as_it_was_keeps_its_own_box_and_mask() -> None:
    mask = square(0, 0, 20)
    mine = objects(("cat", [0.25, 0, 20, 20]), mask=[mask])
    rounded = labelled(objects(("cat", A), ("cat", C)), ["cat"])
    found, _ = said(mine, rounded)
    kept = next(one for one in found if one.action == "confirmed")
    assert (kept.xyxy, kept.mask) == ((0.25, 0, 20, 20), mask.decode())
    renamed = labelled(objects(("dog", A)), ["cat", "dog"])
    (found_one,), _ = said(mine, renamed)
    assert (found_one.action, found_one.label) == ("relabelled", "dog")
    assert (found_one.xyxy, found_one.mask) == ((0.25, 0, 20, 20), mask.decode())
    assert found_one.was == {"label": "cat", "xyxy": [0.25, 0, 20, 20]}


def test_a_mask_that_people_drew_is_taken_where_there_was_none() -> None:
    mask = square(0, 0, 20)
    truth = labelled(objects(("cat", A), mask=[mask]), ["cat"])
    (found,), _ = said(objects(("cat", A)), truth, unchanged="confirm")
    assert found.mask == mask.decode()


def test_what_moved_or_changed_class_and_place_is_as_people_left_it() -> None:
    moved = [3.0, 0, 23, 20]
    (found,), _ = said(objects(("cat", A)), labelled(objects(("cat", moved)), ["cat"]))
    assert (found.action, found.xyxy, found.mask) == ("moved", tuple(moved), None)
    truth = labelled(objects(("dog", moved)), ["cat", "dog"])
    (found,), _ = said(objects(("cat", A), mask=[square(0, 0, 20)]), truth)
    assert (found.action, found.xyxy, found.mask) == ("relabelled", tuple(moved), None)


def test_only_labels_of_classes_that_people_had_are_deleted() -> None:
    mine = objects(("cat", A), ("dog", B))
    found, _ = said(mine, labelled(objects(), ["cat"]))
    assert [(one.action, one.label) for one in found] == [("deleted", "cat")]
    assert said(mine, labelled(objects(), ["cat"]), deletions=False)[0] == []


def test_under_a_crowd_nothing_was_deleted_and_a_crowd_is_no_object() -> None:
    mine = objects(("cat", A), ("cat", B))
    truth = labelled(objects(("cat", A)), ["cat"], ignore=[0])
    found, summary = said(mine, truth)
    assert [(one.action, one.xyxy) for one in found] == [("deleted", tuple(B))]
    assert summary.left_out == {"crowds and other regions to ignore": 1}


def test_an_image_that_nobody_looked_at_is_left_alone() -> None:
    truth = labelled(objects(), ["cat"], looked_at=False)
    found, summary = said(objects(("cat", A)), truth)
    assert (found, summary.not_looked_at, summary.images) == ([], 1, 0)


def test_a_box_is_cut_at_the_border_and_one_beyond_it_counted() -> None:
    truth = labelled(objects(("cat", [-5, -5, 500, 10]), ("cat", [200, 0, 300, 10])), ["cat"])
    (found,), summary = said(objects(), truth)
    assert found.xyxy == (0, 0, WIDTH, 10)
    assert summary.left_out == {"boxes without area in the image": 1}


def test_classes_go_by_name_and_new_ones_come_in_the_order_of_the_labels() -> None:
    rows = [("ewe", A), ("Cat", B), ("ant", C)]
    truth = labelled(objects(*rows), ["ewe", "unused", "Cat", "ant", " dog "])
    found = class_names(truth, ("dog", "cat"), {})
    assert found.names == {
        "ewe": "ewe", "unused": "unused", "Cat": "cat", "ant": "ant", " dog ": "dog",
    }  # fmt: skip
    assert found.new == ("ewe", "ant")
    assert found.moved == ("cat", "dog")
    mapped = class_names(truth, ("dog", "cat"), {"ewe": "cat", "ant": ""})
    assert (mapped.names["ewe"], mapped.names["ant"], mapped.new) == ("cat", None, ())
    _, summary = said(objects(), truth, ("dog", "cat"), class_map={"ant": ""})
    assert summary.left_out == {"labels of classes that are left out": 1}
    with pytest.raises(AutolabelError, match="'ewee', which is not a class of the labels"):
        class_names(truth, ("dog",), {"ewee": "cat"})


def test_ids_that_agree_are_not_said_to_differ() -> None:
    truth = labelled(objects(("cat", A)), ["cat", "dog"])
    assert class_names(truth, ("cat", "dog"), {}).moved == ()


def test_what_is_locked_already_is_not_said_again() -> None:
    mine = objects(("cat", A), ("dog", B), correction=[Correction("drawn"), None])
    truth = labelled(objects(("cat", A), ("dog", B)), ["cat", "dog"])
    found, summary = said(mine, truth, unchanged="confirm")
    assert [one.label for one in found] == ["dog"]
    assert summary.unchanged == 0
