"""What `run` and `evaluate` do beyond calling one function."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from autolabel.cli import show
from autolabel.cli.show_evaluation import evaluation
from autolabel.cli.show_plan import planned
from autolabel.cli.state import Labels, detected, finished, labels, layers_of
from autolabel.config import (
    EngineConfig,
    EvaluateConfig,
    ExportConfig,
    PipelineConfig,
    ReportConfig,
    TrainConfig,
)
from autolabel.datasets.export import export, is_current
from autolabel.datasets.ground_truth import read_hand_labels
from autolabel.engine.base import Progress
from autolabel.evaluate import compare
from autolabel.metrics.result import Evaluation
from autolabel.pipeline import checks
from autolabel.pipeline.plan import plan
from autolabel.report import ReportResult, write_report
from autolabel.report import is_current as is_written
from autolabel.stages import filter as filtering
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter, StageResult
from autolabel.stages.table import STAGES
from autolabel.store import Workspace, write_atomic
from autolabel.train import LICENCE, Trained, train


def measure(
    workspace: Workspace,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: Reporter,
    *,
    newest: str | None = None,
    allow_unfinished: bool = False,
) -> tuple[Evaluation, Labels]:
    """Measure labels and students."""
    truth = read_hand_labels(Path(config.truth))  # a typo in it comes before all else
    named = config.layer or newest
    found = labels(workspace, named, allow_unfinished=allow_unfinished, flag="--layer")
    result = compare(workspace, truth, config, engine, report, newest=newest, say=show.message)
    return result, found


def evaluation_data(result: Evaluation, found: Labels) -> dict[str, Any]:
    """What `evaluate --json` prints: the result, and which images the labels lack."""
    return {**result.as_json(), **found.counts()}


@dataclass(frozen=True)
class _Call:
    """A pipeline under way.

    Attributes:
        config: what is asked for.
        workspace: where.
        report: called when work begins.
        newest: the layer of labels that the pipeline ends with.
        as_json: whether tables stay away from standard output.
        hand: the hand labels that it names.
    """

    config: PipelineConfig
    workspace: Workspace
    report: Reporter
    newest: str
    as_json: bool
    hand: checks.HandLabels


def run_pipeline(
    config: PipelineConfig,
    report: Reporter,
    *,
    until: str | None = None,
    as_json: bool = False,
) -> None:
    """Run the steps that the file names; each does only what is left to do.

    What can be checked is checked before the first one.
    """
    steps = checks.named(config, until)
    hand = checks.HandLabels(config)
    checks.check(config, steps, hand)
    workspace = Workspace(Path(config.workspace))
    call = _Call(config, workspace, report, checks.last_labels(config), as_json, hand)
    results = {step: _STEPS[step](call) for step in steps}
    if as_json:
        show.data({"workspace": str(workspace.path), "steps": results})


def plan_pipeline(config: PipelineConfig, *, until: str | None = None, as_json: bool) -> None:
    """Show what `run_pipeline` would do, and why."""
    steps = checks.named(config, until)
    hand = checks.HandLabels(config)
    missing = checks.check(config, steps, hand, fetch=False)
    planned(plan(config, steps, hand, missing), as_json)


def _ingest(call: _Call) -> Any:
    config, workspace = call.config, call.workspace
    done = STAGES["ingest"].run(
        workspace, config.ingest, config.engine, overwrite=True, report=call.report
    )
    finished("ingest", done, workspace)
    text = yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False)
    write_atomic(workspace.path / "pipeline.yaml", text.encode())
    return _of_layer(call, done)


def _detect(call: _Call) -> Any:
    config = call.config
    done = STAGES["detect"].run(
        call.workspace, config.detect, config.engine, overwrite=True, report=call.report
    )
    detected(call.workspace, done, config.detect, config.engine)
    return _of_layer(call, done)


def _refine(call: _Call) -> Any:
    config = call.config
    assert config.refine is not None  # it is among the steps
    done = STAGES["refine"].run(
        call.workspace, config.refine, config.engine, overwrite=True, report=call.report
    )
    finished("refine", done, call.workspace)
    return _of_layer(call, done)


def _filter(call: _Call) -> Any:
    config = call.config
    assert config.filter is not None  # it is among the steps
    done = filtering.filter_labels(
        call.workspace, config.filter, config.engine,
        from_layer=checks.source_in(config, STAGES["filter"]), overwrite=True, report=call.report,
    )  # fmt: skip
    finished("filter", done, call.workspace)
    return _of_layer(call, done)


def _of_layer(call: _Call, done: StageResult) -> dict[str, Any]:
    return {"images_done": done.images, **layers_of(call.workspace)[done.layer.name]}


def _export(call: _Call) -> Any:
    return [_one_export(call, one) for one in call.config.export]


def _one_export(call: _Call, one: ExportConfig) -> dict[str, Any]:
    one = one.model_copy(update={"from_layer": one.from_layer or call.newest})
    layer = labels(call.workspace, one.from_layer, allow_unfinished=False).layer
    ontology = ontology_of(layer)
    if is_current(call.workspace, layer, ontology, one):
        show.message(f"export: {one.out} is up to date")
        return {"out": one.out, "current": True}
    done = export(call.workspace, layer, ontology, one)
    show.exported(done, as_json=False)
    return {**show.plain(done), "current": False}


def _train(call: _Call) -> Any:
    recipe = checks.recipe_of(call.config, call.hand)
    done, _ = train_student(call.workspace, recipe, call.config.engine, call.report, overwrite=True)
    show.trained(done, as_json=False)
    return show.plain(done)


def _evaluate(call: _Call) -> Any:
    config = call.config
    assert config.evaluate is not None  # it is among the steps
    result, found = measure(
        call.workspace, config.evaluate, config.engine, call.report, newest=call.newest
    )
    if not call.as_json:
        evaluation(result)
    return evaluation_data(result, found)


def _report(call: _Call) -> Any:
    about = call.config.report
    assert about is not None  # it is among the steps
    about = about.model_copy(update={"layer": about.layer or call.newest})
    page = is_written(call.workspace, call.workspace.require(about.layer or call.newest), about)
    if page is not None and not about.open:
        show.message(f"report: {page} is up to date")
        return {"out": str(page), "current": True}
    done = report_on(call.workspace, about)[0]
    show.reported(done, as_json=False)
    return {**show.plain(done), "current": False}


_STEPS: Mapping[str, Callable[[_Call], Any]] = {
    "ingest": _ingest,
    "detect": _detect,
    "refine": _refine,
    "filter": _filter,
    "export": _export,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
}


def report_on(
    workspace: Workspace, config: ReportConfig, *, allow_unfinished: bool = False
) -> tuple[ReportResult, Labels]:
    """Write the page about a layer of labels, and open it if that is asked for."""
    found = labels(workspace, config.layer, allow_unfinished=allow_unfinished, flag="--layer")
    layer = found.layer
    done = write_report(workspace, layer, ontology_of(layer), config)
    if config.open:
        import webbrowser

        webbrowser.open(done.out.resolve().as_uri())
    return done, found


def train_student(
    workspace: Workspace,
    config: TrainConfig,
    engine: EngineConfig,
    report: Reporter,
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

    ontology = ontology_of(layer)
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
