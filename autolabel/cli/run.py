"""What `run` and `evaluate` do beyond calling one function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from autolabel import filtering, pipeline
from autolabel.cli import show
from autolabel.cli.show_evaluation import evaluation
from autolabel.cli.state import Labels, detected, finished, labels
from autolabel.compare import compare
from autolabel.config import (
    EngineConfig,
    EvaluateConfig,
    ExportConfig,
    PipelineConfig,
    ReportConfig,
    TrainConfig,
)
from autolabel.engine.base import Progress
from autolabel.export import export, is_current
from autolabel.report import Reported, write_report
from autolabel.report import is_current as is_written
from autolabel.store import Workspace, write_atomic
from autolabel.train import LICENCE, Trained, train
from autolabel.truth import read_hand_labels


def measure(
    workspace: Workspace,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: pipeline.Reporter,
    *,
    newest: str | None = None,
    allow_unfinished: bool = False,
) -> dict[str, Any]:
    """Measure labels and students; the result says which images the labels lack."""
    truth = read_hand_labels(Path(config.truth))  # a typo in it comes before all else
    named = config.layer or newest
    found = labels(workspace, named, allow_unfinished=allow_unfinished, flag="--layer")
    result = compare(workspace, truth, config, engine, report, newest=newest, say=show.message)
    return {**result, **found.counts()}


def run_pipeline(config: PipelineConfig, report: pipeline.Reporter) -> None:
    """Run every stage that the file names; each does only what is left to do."""
    workspace = Workspace(Path(config.workspace))
    config.detect.resolve_ontology()
    if config.filter is not None:
        config.filter.check()
    done = pipeline.ingest(workspace, config.ingest, config.engine, overwrite=True, report=report)
    finished("ingest", done, workspace)
    text = yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)
    write_atomic(workspace.path / "pipeline.yaml", text.encode())
    done = pipeline.detect(workspace, config.detect, config.engine, overwrite=True, report=report)
    detected(workspace, done, config.detect, config.engine)
    if config.refine is not None:
        done = pipeline.refine(
            workspace, config.refine, config.engine, overwrite=True, report=report
        )
        finished("refine", done, workspace)
    if config.filter is not None:
        # A refine/ that an earlier file asked for is no source of this one.
        source = "refine" if config.refine else "detect"
        done = filtering.filter_labels(
            workspace, config.filter, config.engine,
            from_layer=source, overwrite=True, report=report,
        )  # fmt: skip
        finished("filter", done, workspace)
    # A layer that an earlier run made by a stage that the file no longer names is not the newest.
    last = "filter" if config.filter else "refine" if config.refine else "detect"
    for one in config.export:
        _export(workspace, one.model_copy(update={"from_layer": one.from_layer or last}))
    if config.train is not None:
        recipe = _without_truth(config.train, config.evaluate)
        recipe = recipe.model_copy(update={"from_layer": recipe.from_layer or last})
        student, _ = train_student(workspace, recipe, config.engine, report, overwrite=True)
        show.trained(student, as_json=False)
    if config.evaluate is not None:
        result = measure(workspace, config.evaluate, config.engine, report, newest=last)
        evaluation(result, as_json=False)
    if config.report is not None:
        about = config.report.model_copy(update={"layer": config.report.layer or last})
        page = is_written(workspace, workspace.require(about.layer or last), about)
        if page is not None and not about.open:
            show.message(f"report: {page} is up to date")
        else:
            show.reported(report_on(workspace, about)[0], as_json=False)


def report_on(
    workspace: Workspace, config: ReportConfig, *, allow_unfinished: bool = False
) -> tuple[Reported, Labels]:
    """Write the page about a layer of labels, and open it if that is asked for."""
    found = labels(workspace, config.layer, allow_unfinished=allow_unfinished, flag="--layer")
    layer = found.layer
    done = write_report(workspace, layer, pipeline.ontology_of(layer), config)
    if config.open:
        import webbrowser

        webbrowser.open(done.out.resolve().as_uri())
    return done, found


def train_student(
    workspace: Workspace,
    config: TrainConfig,
    engine: EngineConfig,
    report: pipeline.Reporter,
    *,
    overwrite: bool,
    allow_unfinished: bool = False,
) -> tuple[Trained, Labels]:
    """Train a student, and say when it begins or goes on."""
    found = labels(workspace, config.from_layer, allow_unfinished=allow_unfinished)
    layer = found.layer

    def begun(stage: str, epochs: int) -> Progress:
        show.message(f"train: {LICENCE}")
        if epochs < config.epochs:
            show.message(f"train: goes on after epoch {config.epochs - epochs}")
        return report(stage, epochs)

    ontology = pipeline.ontology_of(layer)
    done = train(
        workspace,
        layer,
        ontology,
        config,
        engine,
        overwrite=overwrite,
        report=begun,
        say=show.message,
    )
    return done, found


def _without_truth(config: TrainConfig, evaluate: EvaluateConfig | None) -> TrainConfig:
    """See that the photos which the student is measured on are not learned from."""
    if evaluate is None or config.holdout:
        return config
    photos = [image.path for image in read_hand_labels(Path(evaluate.truth)).records]
    return config.model_copy(update={"holdout": tuple(str(p) for p in photos if p is not None)})


def _export(workspace: Workspace, config: ExportConfig) -> None:
    layer = labels(workspace, config.from_layer, allow_unfinished=False).layer
    ontology = pipeline.ontology_of(layer)
    if is_current(workspace, layer, ontology, config):
        show.message(f"export: {config.out} is up to date")
    else:
        show.exported(export(workspace, layer, ontology, config), as_json=False)
