"""The pipeline file that `init` writes is valid, and shows every option."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from autolabel.config import PipelineConfig, group_of, load_pipeline
from autolabel.config.starter import starter


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(starter(path.name), "utf-8")
    return path


def stages_on(text: str) -> str:
    """The text with the stages that are commented out switched on."""
    return re.sub(r"(?m)^#(?=  |\w+:)", "", text)


def test_it_is_a_valid_pipeline_of_its_defaults(file: Path) -> None:
    config = load_pipeline(file)
    assert config.detect.resolve_ontology().names == ("cat", "dog")
    assert config.train is None
    assert config.evaluate is None
    text = file.read_text("utf-8")
    assert f"autolabel run {file.name} --dry-run" in text
    assert max(map(len, text.splitlines())) <= 200


def test_every_option_is_in_it_and_at_its_default(file: Path) -> None:
    text = stages_on(file.read_text("utf-8"))
    file.write_text(text, "utf-8")
    whole = load_pipeline(file)
    file.write_text(re.sub(r"(?m)^(\s*)#(?=\w+:)", r"\1", text), "utf-8")
    assert load_pipeline(file) == whole
    for stage, field in PipelineConfig.model_fields.items():
        model = group_of(field.annotation)
        for name, option in model.model_fields.items() if model else ():
            assert re.search(rf"(?m)^ +(- )?#?{option.alias or name}:", text), (stage, name)
