"""An export of the images alone that most deserve a look."""

from __future__ import annotations

import json
from pathlib import Path

from autolabel.config import ExportConfig
from autolabel.corrections.decisions import Decision, Decisions
from autolabel.datasets.export import is_current
from autolabel.pipeline.products import queued
from autolabel.review.queue import ranked_images
from autolabel.stages.labels import chosen_labels
from tests.conftest import Run
from tests.review.labelled import one, several, workspace

SURE = several(*(one("cat", 0.9, x) for x in (10, 40, 70)))
DOUBTED = several(one("cat", 0.3), one("cat", 0.9, 50))


def test_the_worst_images_are_exported_and_the_others_counted(run: Run, tmp_path: Path) -> None:
    home = workspace(tmp_path, [SURE, DOUBTED, SURE, DOUBTED, SURE])
    out = tmp_path / "out"
    command = ("export", home.path, "--queue", "2", "--out", out, "--json")
    done = run(*command).json()
    assert (done["images"], done["skipped"]) == (2, {"not queued": 3})
    data = json.loads((out / "annotations/instances_train.json").read_text())
    assert {image["file_name"] for image in data["images"]} == {"0001.png", "0003.png"}
    worst = ranked_images(home, home.layer("detect"), limit=2)
    assert {look.uri for look in worst} == {"0001.png", "0003.png"}
    assert "3 not queued" in run(*command[:-1]).err


def test_it_is_current_until_other_images_are_queued(tmp_path: Path, run: Run) -> None:
    home = workspace(tmp_path, [SURE, DOUBTED, SURE, DOUBTED, SURE])
    config = ExportConfig(out=str(tmp_path / "out"), queue=1)

    def current() -> bool:
        labels = chosen_labels(home, "detect")
        only = queued(home, labels.layer, config)
        return is_current(home, labels.layer, labels.ontology, config, only)

    command = ("export", home.path, "--queue", "1", "--out", config.out, "--from", "detect")
    assert run(*command).status == 0
    assert current()
    first = ranked_images(home, home.layer("detect"), limit=1)[0]
    look = next(one for one in first.looks if one.xyxy)
    said = Decision(
        image_id=first.image_id, action="confirmed", via="review", label=look.label, xyxy=look.xyxy
    )
    Decisions(home.path).append(said)
    assert not current()
    assert run(*command).status == 0
    assert current()
