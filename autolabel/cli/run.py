"""What `run` and `evaluate` do beyond calling one function."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import yaml

from autolabel import filtering, pipeline
from autolabel.cli import show
from autolabel.cli.state import labels
from autolabel.config import EngineConfig, EvaluateConfig, ExportConfig, PipelineConfig
from autolabel.evaluate import evaluate, match_truth, to_json
from autolabel.export import export, is_current
from autolabel.store import Layer, Workspace, write_atomic
from autolabel.truth import Truth, read_truth


def measure(
    workspace: Workspace,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: pipeline.Reporter,
) -> dict[str, Any]:
    """Evaluate a layer, labelling the hand-labelled photos first where they were held out."""
    truth = read_truth(Path(config.truth))
    layer = labels(workspace, config.layer)
    ontology = pipeline.ontology_of(layer)
    if _aside(workspace, layer, truth, config):
        photos = [image.path for image in truth.records if image.path is not None]
        show.message("evaluate: the hand-labelled photos are held out; labelling them aside")
        layer = filtering.label_truth(workspace, layer, photos, engine, report=report)
    result = to_json(evaluate(list(layer.records()), truth, ontology, config))
    return {"layer": layer.name, "truth": config.truth, **result}


def _aside(workspace: Workspace, layer: Layer, truth: Truth, config: EvaluateConfig) -> bool:
    if config.label_truth is not None:
        return config.label_truth
    if not workspace.layer("images").manifest.settings.get("holdout"):
        return False
    usable = [record for record in layer.records() if record.usable]
    return not match_truth(usable, truth).pairs


def run_pipeline(config: PipelineConfig, report: pipeline.Reporter) -> None:
    """Run every stage that the file names; each does only what is left to do."""
    workspace = Workspace(Path(config.workspace))
    config.detect.resolve_ontology()
    if config.filter is not None:
        config.filter.check()
    done = pipeline.ingest(workspace, config.ingest, config.engine, overwrite=True, report=report)
    show.stage_done("ingest", done)
    text = yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)
    write_atomic(workspace.path / "pipeline.yaml", text.encode())
    done = pipeline.detect(workspace, config.detect, config.engine, overwrite=True, report=report)
    show.stage_done("detect", done)
    if config.refine is not None:
        done = pipeline.refine(
            workspace, config.refine, config.engine, overwrite=True, report=report
        )
        show.stage_done("refine", done)
    if config.filter is not None:
        done = filtering.filter_labels(
            workspace, config.filter, config.engine, overwrite=True, report=report
        )
        show.stage_done("filter", done)
    # A layer that an earlier run made by a stage that the file no longer names is not the newest.
    last = "filter" if config.filter else "refine" if config.refine else "detect"
    for one in config.export:
        _export(workspace, one.model_copy(update={"from_layer": one.from_layer or last}))
    if config.evaluate is not None:
        measured = config.evaluate.model_copy(update={"layer": config.evaluate.layer or last})
        _evaluate(workspace, measured, config.engine, report)


def _export(workspace: Workspace, config: ExportConfig) -> None:
    layer = labels(workspace, config.from_layer)
    ontology = pipeline.ontology_of(layer)
    if is_current(workspace, layer, ontology, config):
        show.message(f"export: {config.out} is up to date")
    else:
        show.exported(export(workspace, layer, ontology, config), as_json=False)


def _evaluate(
    workspace: Workspace,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: pipeline.Reporter,
) -> None:
    """Measure, unless the same labels were measured against the same truth before."""
    layer = labels(workspace, config.layer)
    key = f"{layer.fingerprint()} {config.model_dump_json()} {_stamp(Path(config.truth))}"
    key = hashlib.sha256(key.encode()).hexdigest()
    kept = workspace.path / "evaluate" / "result.json"
    known = json.loads(kept.read_text("utf-8")) if kept.is_file() else {}
    if known.get("key") != key:
        known = {"key": key, "result": measure(workspace, config, engine, report)}
        kept.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(kept, json.dumps(known, indent=2, ensure_ascii=False).encode())
    show.evaluation(known["result"], as_json=False)


def _stamp(truth: Path) -> str:
    """Changes when the hand labels do."""
    files = sorted(truth.rglob("*")) if truth.is_dir() else [truth]
    stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.is_file()]
    return json.dumps(stats)
