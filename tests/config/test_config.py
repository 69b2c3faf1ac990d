from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from autolabel.config import (
    DetectConfig,
    EngineConfig,
    IngestConfig,
    PipelineConfig,
    build,
    load_pipeline,
)
from autolabel.errors import AutolabelError, UsageError
from tests.conftest import REPO


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    path = tmp_path / "p.yaml"
    path.write_text(
        "workspace: ws\ningest: {source: photos}\ndetect: {prompt: [cat]}\n"
        "export: [{format: coco, out: a}, {format: yolo, out: b}]\n",
        "utf-8",
    )
    return path


def test_overrides_reach_any_value(pipeline: Path) -> None:
    config = load_pipeline(
        pipeline, ["detect.box_threshold=0.25", "export.1.val_share=0.2", "engine.device=cpu"]
    )
    assert config.detect.box_threshold == 0.25
    assert config.export[1].val_share == 0.2
    assert config.engine.device == "cpu"
    assert config.ingest.source == ("photos",)


@pytest.mark.parametrize(
    ("override", "message", "hint"),
    [
        ("detect.box_treshold=1", "unknown key 'detect.box_treshold'", "'box_threshold'"),
        ("detct.model=x", "unknown key 'detct'", "'detect'"),
        ("detect.box_threshold=2", "detect.box_threshold cannot be 2", "score"),
        ("detect.box_threshold=high", "detect.box_threshold cannot be high", "score"),
        ("engine.device=gpu", "engine.device cannot be gpu", "cuda"),
        ("export.5.out=x", "'5' is not one of its 2 entries", "export.0.out"),
        ("workspace.x=1", "'workspace' holds a value", "--set workspace="),
        ("detect.model", "is not KEY=VALUE", "--set"),
        ("detect.prompt=[", "not valid YAML", "quotes"),
        ("export.0.format=darknet", "export.0.format cannot be darknet", "Format"),
    ],
)
def test_a_wrong_override_says_what_is_right(
    pipeline: Path, override: str, message: str, hint: str
) -> None:
    with pytest.raises(UsageError) as e:
        load_pipeline(pipeline, [override])
    assert message in e.value.message
    assert hint in e.value.hint


def test_files_that_are_no_pipeline(tmp_path: Path) -> None:
    with pytest.raises(AutolabelError, match="cannot be read"):
        load_pipeline(tmp_path / "none.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [", "utf-8")
    with pytest.raises(UsageError, match="not valid YAML"):
        load_pipeline(broken)
    broken.write_text("- a", "utf-8")
    with pytest.raises(UsageError, match="not a pipeline"):
        load_pipeline(broken)
    broken.write_text("x: !!python/object/apply:os.system ['touch /tmp/owned']", "utf-8")
    with pytest.raises(UsageError, match="not valid YAML"):
        load_pipeline(broken)


def test_flags_are_named_as_typed() -> None:
    with pytest.raises(UsageError, match=r"^--box-threshold cannot be 2"):
        build(DetectConfig, {"box_threshold": "2"}, flags=True)
    with pytest.raises(UsageError, match=r"^--batch-size cannot be -1"):
        build(EngineConfig, {"batch_size": "-1"}, flags=True)
    with pytest.raises(UsageError, match=r"^--class-threshold cannot be"):
        build(DetectConfig, {"class_threshold": {"cat": "7"}}, flags=True)


def test_settings_hold_what_shapes_content_alone() -> None:
    assert set(DetectConfig(prompt=("a",)).settings()) == {
        "box_threshold",
        "class_threshold",
        "nms_iou",
    }
    assert "source" not in IngestConfig(source=("a",)).settings()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DetectConfig(), "nothing to look for"),
        (DetectConfig(prompt=("a",), ontology="{}"), "both prompts and an ontology"),
        (
            DetectConfig(prompt=("cat",), class_threshold={"cta": 0.1}),
            "'cta', which is not a class",
        ),
        (DetectConfig(ontology="{nope"), "not valid JSON"),
    ],
)
def test_an_ontology_that_cannot_be(config: DetectConfig, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        config.resolve_ontology()


def test_an_ontology_from_file_and_from_json(tmp_path: Path) -> None:
    path = tmp_path / "o.yaml"
    path.write_text("classes: {RBC: [red blood cell, erythrocyte]}\nnegatives: [dust]\n", "utf-8")
    from_file = DetectConfig(ontology=str(path), negative=("smudge",)).resolve_ontology()
    assert from_file.negatives == ("dust", "smudge")
    inline = DetectConfig(ontology='{"red blood cell": "RBC", "erythrocyte": "RBC"}')
    assert inline.resolve_ontology().classes == from_file.classes


def test_the_shipped_pipelines_are_valid() -> None:
    files = sorted((REPO / "configs").glob("*.yaml"))
    assert files
    for path in files:
        config = load_pipeline(path)
        config.detect.resolve_ontology()
        again = yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json", by_alias=True)))
        assert build(PipelineConfig, again, flags=False) == config


def test_another_workspace_takes_what_lies_in_it_along(tmp_path: Path) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(
        "workspace: runs/a\n"
        "ingest: {source: runs/a-photos}\n"
        "detect: {prompt: [runs/a cat], ontology: ./runs/a/classes.yaml}\n"
        "export: [{out: runs/a/export/coco}, {out: ./runs/a/yolo}, {out: elsewhere}]\n"
        "report: {out: runs/a/page.html}\n"
    )
    config = load_pipeline(file, ["export.1.out=runs/a/kept", "workspace=/data/b"])
    assert config.workspace == "/data/b"
    assert [e.out for e in config.export] == ["/data/b/export/coco", "runs/a/kept", "elsewhere"]
    assert config.report is not None
    assert config.report.out == "/data/b/page.html"
    assert config.detect.ontology == "/data/b/classes.yaml"
    assert config.detect.prompt == ("runs/a cat",)
    assert config.ingest.source == ("runs/a-photos",)
