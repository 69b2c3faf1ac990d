"""The result that a workspace keeps: written as the schema says, believed only if it is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from autolabel.metrics.result import EntryResult, Evaluation, Speed, json_schema, read_result
from tests.conftest import Run
from tests.evaluate.scene import AWAY, BOX, Scene, measured
from tests.evaluate.standin import stand_in


def kept(scene: Scene) -> Path:
    return scene.home / "evaluate/result.json"


def test_a_result_is_written_as_the_schema_says_with_every_key(
    run: Run, scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    stand_in(monkeypatch)
    scene.student("small", ["cat", 0.9, BOX], ["dog", 0.8, AWAY])
    printed = measured(run, scene, speed=1)
    text = kept(scene).read_text("utf-8")
    written = json.loads(text)
    result = written["result"]
    jsonschema.validate(result, json_schema())
    jsonschema.validate(printed, json_schema())
    assert list(result) == list(Evaluation.model_fields)
    assert list(result["rows"][0]) == list(EntryResult.model_fields)
    assert list(result["speed"]) == list(Speed.model_fields)
    again = {"key": written["key"], "result": read_result(kept(scene)).as_json()}
    assert json.dumps(again, indent=1, ensure_ascii=False) == text


@pytest.mark.parametrize("damage", [{"rows": [{"name": [1]}]}, {"images": "three"}, {"truth": 1}])
def test_a_result_that_something_else_has_changed_is_refused(
    run: Run, scene: Scene, damage: dict[str, Any]
) -> None:
    asked = ("evaluate", scene.home, "--truth", scene.truth, "--bootstrap", 0, "--device", "cpu")
    assert run(*asked).status == 0
    known = json.loads(kept(scene).read_text("utf-8"))
    known["result"] |= damage
    kept(scene).write_text(json.dumps(known))
    done = run(*asked)
    assert done.status == 1
    assert str(kept(scene)) in done.err
    kept(scene).unlink()  # as the hint says
    assert run(*asked).status == 0


def test_a_result_of_an_earlier_version_is_shown(run: Run, scene: Scene) -> None:
    asked = ("evaluate", scene.home, "--truth", scene.truth, "--bootstrap", 0, "--device", "cpu")
    assert run(*asked).status == 0
    known = json.loads(kept(scene).read_text("utf-8"))
    for key in ("notes", "speed", "reference", "unmatched"):
        del known["result"][key]
    kept(scene).write_text(json.dumps(known))
    done = run(*asked, "--json")
    assert done.status == 0, done.err
    assert "notes" not in done.json()
    assert run(*asked).status == 0
    assert json.loads(kept(scene).read_text("utf-8")) == known
