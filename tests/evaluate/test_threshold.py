"""A student's own operating threshold: chosen by training, used by evaluate, told in the report."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from autolabel.config import ReportConfig
from autolabel.metrics.result import Evaluation
from autolabel.metrics.summary import sentences
from autolabel.ops.images import decode, read_bytes
from autolabel.report import write_report
from autolabel.sources import from_uri
from autolabel.stages.history import ontology_of
from autolabel.store import Workspace
from autolabel.train.choose import choose
from autolabel.train.dataset import Dataset, write_dataset
from autolabel.train.threshold import choose_threshold
from autolabel.types import Objects
from tests.conftest import Run
from tests.evaluate.scene import AWAY, BOX, Scene, measured, rows_of
from tests.evaluate.standin import stand_in
from tests.train.conftest import ONTOLOGY, box_of, draw_photos, labelled, recipe


def made(folder: Path, photos: int = 8, **options: Any) -> tuple[Dataset, dict[bytes, Any]]:
    """A training set, and the true box of each photo by its pixels."""
    workspace, layer = labelled(folder / "ws", draw_photos(folder / "photos", photos))
    config = recipe(folder / "none.yaml", **options)
    chosen = choose(workspace, layer, config)
    data = write_dataset(workspace, chosen, ONTOLOGY, config, folder / "set", masks=False)
    truth = {}
    for i, record in enumerate(sorted(layer.records(), key=lambda r: r.uri)):
        pixels = decode(read_bytes(from_uri(record.uri, workspace.source_root)))
        truth[pixels.tobytes()] = box_of(i)
    return data, truth


def student(truth: dict[bytes, Any], *rows: tuple[float, bool]) -> Any:
    """One that gives each photo boxes of these scores, each right or wrong."""

    def predict(images: Any, *, min_score: float, max_objects: int) -> list[Objects]:
        return [one(truth[image.tobytes()], min_score) for image in images]

    def one(box: Any, min_score: float) -> Objects:
        kept = [(score, right) for score, right in rows if score >= min_score]
        boxes = [box if right else (0, 0, 9, 9) for _, right in kept]
        scores = [score for score, _ in kept]
        return Objects.create(["square"] * len(kept), scores, np.reshape(boxes, (-1, 4)))

    return SimpleNamespace(predict=predict)


def test_it_is_where_f1_is_best_on_the_val_part(tmp_path: Path) -> None:
    data, truth = made(tmp_path)
    assert data.val_images == 2
    found = choose_threshold(student(truth, (0.6123, True), (0.4, False)), data, ONTOLOGY.names)
    assert found == {
        "score": 0.612, "f1": 1.0, "precision": 1.0, "recall": 1.0, "images": 2, "objects": 2,
    }  # fmt: skip
    sure_and_wrong = student(truth, (0.9, False), (0.3, True), (0.2, False))
    found = choose_threshold(sure_and_wrong, data, ONTOLOGY.names)
    assert (found["score"], found["precision"], found["recall"]) == (0.3, 0.5, 1.0)


def test_of_equally_good_thresholds_the_highest(tmp_path: Path) -> None:
    """From 0.8 one of two is found and nothing false, from 0.2 both and two false: F1 is 2/3."""
    data, truth = made(tmp_path)
    first = student(truth, (0.8, True), (0.2, False))
    second = student(truth, (0.2, True), (0.2, False))

    def predict(images: Any, **how: Any) -> list[Objects]:
        return [*first.predict(images[:1], **how), *second.predict(images[1:], **how)]

    found = choose_threshold(SimpleNamespace(predict=predict), data, ONTOLOGY.names)
    assert found["f1"] == pytest.approx(2 / 3)
    assert found["score"] == 0.8


@pytest.mark.parametrize(
    ("options", "rows", "why"),
    [
        ({"val_share": 0.0}, [(0.9, True)], "no image could be spared to choose it on"),
        ({}, [], "nothing is found in the images set aside"),
        ({}, [(0.9, False)], "nothing is found in the images set aside"),
    ],
)
def test_where_none_can_be_chosen(
    tmp_path: Path, options: Any, rows: list[tuple[float, bool]], why: str
) -> None:
    data, truth = made(tmp_path, **options)
    found = choose_threshold(student(truth, *rows), data, ONTOLOGY.names)
    assert (found["score"], found["why"]) == (0.25, why)


def test_evaluate_uses_the_students_own(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    rows = [["cat", 0.9, BOX], ["dog", 0.5, AWAY], ["dog", 0.3, BOX]]
    scene.student("small", *rows, threshold={"score": 0.4, "f1": 0.9})
    result = measured(run, scene)
    small = rows_of(result)["small"]
    assert small["score_threshold"] == 0.4
    assert (small["precision"], small["recall"]) == (1, 1)
    assert sum(map(sum, small["confusion"]["matrix"])) == 8  # without the wrong dogs
    asked = rows_of(measured(run, scene, "--student-threshold", 0.25))["small"]
    assert asked["precision"] == pytest.approx(2 / 3)
    assert asked["ap50"] == small["ap50"]
    scene.student("small", *rows)  # trained by an older version
    result = measured(run, scene)
    assert rows_of(result)["small"]["score_threshold"] == 0.25
    assert any("small has no operating threshold of its own" in note for note in result["notes"])


def test_a_fall_of_precision_is_in_the_headline(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels: 8 of 10 right; the student: half."""
    stand_in(monkeypatch)
    rows = [["cat", 0.9, BOX], ["dog", 0.8, AWAY], ["cat", 0.6, AWAY], ["dog", 0.6, BOX]]
    scene.student("small", *rows, threshold={"score": 0.5, "f1": 0.7})
    result = measured(run, scene)
    figures = rows_of(result)
    for name, precision in (("filter", 0.8), ("small", 0.5)):
        figures[name] |= {"precision": precision, "recall": 0.75, "ap50": 0.7}
    said = " ".join(sentences(Evaluation.model_validate(result)))
    assert "From score 0.5 up, small has precision 0.500 against 0.800" in said
    assert "recall 0.750 against 0.750 of the labels: precision fell" in said
    kept = scene.home / "evaluate/result.json"
    kept.write_text(json.dumps({"key": "", "result": result}))
    workspace = Workspace(scene.home)
    layer = workspace.require("filter")
    conclusions = write_report(workspace, layer, ontology_of(layer), ReportConfig()).conclusions
    assert "AP50 0.70" in conclusions
    assert (
        "Used from score 0.50 up, its precision is 0.50 and its recall 0.75, those of the labels "
        "0.80 and 0.75. Precision fell: of 100 boxes that it draws about 50 are right, of 100 "
        "labels about 80." in conclusions
    )
    assert "Recall fell" not in conclusions
