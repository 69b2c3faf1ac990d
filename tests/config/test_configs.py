"""The pipeline files that ship: valid, of registered models, and each runs end to end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from autolabel import registry
from autolabel.config import PipelineConfig, load_pipeline
from autolabel.stages.filter import active
from autolabel.store import Workspace
from tests.conftest import REPO, Run, make_photos
from tests.models import checkpoints, checkpoints_embedders, checkpoints_segmenters
from tests.models.hub import put_in_cache

FILES = sorted((REPO / "configs").glob("*.yaml"))
PUBLISHED = [path for path in FILES if path.stem != "demo"]
"""Those that name published models; `demo` runs on the sample's own, in a test of its own."""

LABELS_FOR_SURE = [
    "engine.device=cpu",
    "detect.box_threshold=0",
    "filter.min_side=0",
    "filter.inside=0",
    "filter.dinov2_class=1000",
]
"""Random models find things anywhere and unlike each other; the rules run and reject little."""

STUDENT = [
    f"train.student={REPO / 'configs/students/pico.yaml'}",
    "train.epochs=1",
    "train.imgsz=64",
    "train.batch=4",
    "train.val_share=0.34",
]


def models_of(config: PipelineConfig) -> Iterator[tuple[str, str]]:
    """Task and name of each model that a pipeline names."""
    yield "detector", config.detect.model
    if config.refine is not None:
        yield "segmenter", config.refine.model
    if config.filter is not None:
        named = ("image-text", config.filter.clip), ("image", config.filter.dinov2)
        yield from ((task, name) for task, name in named if name)


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_file_is_valid_and_every_model_registered(path: Path) -> None:
    config = load_pipeline(path)
    assert config.detect.resolve_ontology().names
    if config.filter is not None:
        active(config.filter)
    for task, name in models_of(config):
        if name.startswith("sample_data/"):
            assert (REPO / name / "config.json").is_file()
        else:
            assert registry.registered()[name].task == task


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_file_says_what_it_costs_and_under_which_licence(path: Path) -> None:
    text = path.read_text("utf-8")
    head = text[: text.index("workspace:")]
    assert all(line.startswith("#") for line in head.strip().splitlines())
    if path in PUBLISHED:
        assert "Cost:" in head
        assert "Licence" in head


def test_the_best_detectors_are_chosen_and_named() -> None:
    """LVIS minival, as published: LLMDet 44.7 to 51.1, Grounding DINO tiny 28.8."""
    assert load_pipeline(REPO / "configs/accurate.yaml").detect.model == "llmdet-large"
    assert load_pipeline(REPO / "configs/permissive.yaml").detect.model == "llmdet-tiny"
    assert "llmdet-tiny" in (REPO / "configs/default.yaml").read_text("utf-8")


def test_nothing_in_permissive_is_for_research_only_or_under_agpl() -> None:
    config = load_pipeline(REPO / "configs/permissive.yaml")
    licences = {registry.registered()[name].licence for _, name in models_of(config)}
    assert licences <= {"Apache-2.0", "MIT", "BSD-3-Clause"}
    assert config.train is None  # ultralytics
    assert config.evaluate is None or config.evaluate.student == ("none",)


def build(task: str, name: str, folder: Path) -> Path:
    """A small random checkpoint of the class that the registered name is of."""
    kind = registry.registered()[name].model_type
    if task == "detector":
        return checkpoints.DETECTORS[kind](folder)
    if task == "segmenter":
        return checkpoints_segmenters.BUILDERS[kind](folder)
    return checkpoints_embedders.BUILDERS[task][kind](folder)


def kept(workspace: Path) -> Mapping[str, int]:
    """Layer -> kept labels."""
    layers = {p.parent.name for p in workspace.glob("*/manifest.json")}
    found = Workspace(workspace)
    return {
        name: sum(int(r.objects.keep.sum()) for r in found.layer(name).records())
        for name in layers & {"detect", "refine", "filter"}
    }


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.stem)
def test_it_runs_end_to_end_on_small_models_of_its_own_kinds(
    path: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_pipeline(path)
    if config.refine is not None and config.refine.model == "edgetam":
        pytest.importorskip("timm")
    if config.train is not None:
        pytest.importorskip("ultralytics")
    cache = tmp_path / "hub"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    for i, (task, name) in enumerate(models_of(config)):
        put_in_cache(
            cache, registry.registered()[name].hub_id, build(task, name, tmp_path / f"model{i}")
        )
    monkeypatch.chdir(tmp_path)
    make_photos(tmp_path / "photos", 6)
    settings = list(LABELS_FOR_SURE)
    if config.filter is not None and config.filter.clip:
        settings += ["filter.clip_class=false", "filter.clip_score=0.0001"]
    if config.train is not None:
        settings += STUDENT
    done = run("run", path, *(part for one in settings for part in ("--set", one)))
    assert done.status == 0, done.err
    workspace = tmp_path / config.workspace
    counts = kept(workspace)
    assert counts["detect"] > 0
    assert counts["filter"] > 0, "the case shows nothing"
    for one in config.export:
        assert (tmp_path / one.out).is_dir()
        if one.format == "coco":
            written = [
                json.loads(p.read_text("utf-8")) for p in (tmp_path / one.out).glob("*/*.json")
            ]
            labels = [label for dataset in written for label in dataset["annotations"]]
            assert len(labels) == counts["filter"]
            assert all(label["segmentation"] for label in labels)
    if config.train is not None:
        assert list(workspace.glob("train/*/best.pt"))
    if config.report is not None:
        assert (workspace / "report/report.html").stat().st_size > 1000
