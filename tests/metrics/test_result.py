"""The result of an evaluation as a file: its keys, its schema, and what of a file is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import ValidationError

from autolabel.errors import AutolabelError
from autolabel.metrics.result import EntryResult, Evaluation, json_schema, read_result

SCHEMA = Path(__file__).parents[2] / "docs/schemas/evaluation.schema.json"

EARLY: dict[str, Any] = {
    "truth": "hand.json",
    "images": 3,
    "rows": [{"name": "detect", "kind": "teacher", "ap50": 0.5, "curves": {"cat": {
        "recall": [1.0], "precision": [0.5],
    }}}],
}  # fmt: skip
"""As a first version wrote it."""


def kept(folder: Path, result: Any) -> Path:
    path = folder / "result.json"
    path.write_text(json.dumps({"key": "k", "result": result}))
    return path


def test_the_published_schema_is_that_of_the_code() -> None:
    assert json.loads(SCHEMA.read_text("utf-8")) == json_schema(), (
        'write it anew: python -c "import json; from autolabel.metrics.result import json_schema; '
        f'print(json.dumps(json_schema(), indent=2))" > {SCHEMA}'
    )


def test_the_schema_tells_a_whole_result_from_a_damaged_one() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    whole = Evaluation.model_validate(EARLY).model_dump(mode="json")
    jsonschema.validate(whole, json_schema())
    for damage in ({"images": "three"}, {"rows": None}, {"differences": [{"of": "a"}]}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(whole | damage, json_schema())


def test_keys_stand_as_scripts_know_them() -> None:
    assert list(EntryResult.model_fields) == [
        "name", "kind", "layer", "score_threshold", "ap", "ap50", "ap75", "ap_small", "ap_medium",
        "ap_large", "precision", "recall", "f1", "best_f1", "intervals", "classes", "curves",
        "confusion", "masks", "worst", "images_per_second",
    ]  # fmt: skip
    assert list(Evaluation.model_fields) == [
        "truth", "images", "iou", "class_map", "bootstrap", "classes", "classes_without_truth",
        "without_truth", "unmatched", "unmatched_reasons", "workspace", "device", "rows",
        "differences", "reference", "speed", "notes",
    ]  # fmt: skip


def test_an_early_result_is_read_and_given_back_as_it_was(tmp_path: Path) -> None:
    result = read_result(kept(tmp_path, EARLY))
    assert (result.rows[0].ap50, result.rows[0].recall, result.notes) == (0.5, None, [])
    assert result.as_json() == EARLY


def test_a_key_of_a_later_version_does_no_harm(tmp_path: Path) -> None:
    assert read_result(kept(tmp_path, {**EARLY, "later": 1})).images == 3


@pytest.mark.parametrize(
    "damage", [{"rows": [{"name": [1]}]}, {"images": "three"}, {"truth": None}, {"speed": []}]
)
def test_a_damaged_result_is_refused(tmp_path: Path, damage: Any) -> None:
    with pytest.raises(AutolabelError):
        read_result(kept(tmp_path, {**EARLY, **damage}))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"result": 1}', '{"key": "k"', "\udcff"])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(AutolabelError):
        read_result(path)


def test_a_result_does_not_change() -> None:
    result = Evaluation.model_validate(EARLY)
    with pytest.raises(ValidationError):
        result.images = 4  # type: ignore[misc]
