"""`run`: a pipeline file, its dry run, and what is shown of each step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from autolabel.cli import show
from autolabel.cli.show_evaluation import evaluation
from autolabel.cli.show_plan import planned
from autolabel.cli.state import detected, finished, state_of_layer
from autolabel.config import PipelineConfig
from autolabel.metrics.result import Evaluation
from autolabel.pipeline import checks
from autolabel.pipeline.plan import plan
from autolabel.pipeline.run import ExportStep, ReportStep, run_pipeline
from autolabel.stages.running import Reporter, StageResult
from autolabel.stages.table import STAGES
from autolabel.store import Workspace
from autolabel.train import TrainResult


def show_run(
    config: PipelineConfig, report: Reporter, *, until: str | None = None, as_json: bool = False
) -> None:
    """Run a pipeline, and show what each step did; tables, or one JSON object at the end."""
    workspace = Workspace(config.workspace)
    shown: dict[str, Any] = {}

    def done(step: str, result: Any) -> None:
        if step in STAGES:
            _stage(config, workspace, step, result)
            shown[step] = _of_stage(workspace, result) if as_json else None
        else:
            shown[step] = _PRODUCTS[step](result, as_json)

    run_pipeline(config, until=until, report=report, say=show.message, done=done)
    if config.report is not None and config.report.open and "report" in shown:
        open_page(Path(shown["report"]["out"]))
    if as_json:
        show.data({"workspace": str(workspace.path), "steps": shown})


def show_plan(config: PipelineConfig, *, until: str | None = None, as_json: bool) -> None:
    """Show what `run` would do, and why."""
    steps = checks.named(config, until)
    hand = checks.HandLabels(config)
    missing = checks.check(config, steps, hand, fetch=False)
    planned(plan(config, steps, hand, missing), as_json)


def _stage(config: PipelineConfig, workspace: Workspace, step: str, done: StageResult) -> None:
    if step == "detect":
        detected(workspace, done, config.detect, config.engine)
    else:
        finished(step, done, workspace)


def _of_stage(workspace: Workspace, done: StageResult) -> dict[str, Any]:
    return {"images_done": done.images, **state_of_layer(workspace, done.layer.name)}


def _exports(steps: list[ExportStep], as_json: bool) -> list[dict[str, Any]]:
    shown = []
    for step in steps:
        if step.exported is None:
            show.message(f"export: {step.out} is up to date")
            shown.append({"out": step.out, "current": True})
        else:
            show.exported(step.exported, as_json=False)
            shown.append({**show.plain(step.exported), "current": False})
    return shown


def _trained(done: TrainResult, as_json: bool) -> Any:
    show.trained(done, as_json=False)
    return show.plain(done)


def _evaluated(result: Evaluation, as_json: bool) -> dict[str, Any]:
    if not as_json:
        evaluation(result)
    complete = {"left_out_images": 0, "stale_images": 0}  # a pipeline takes no other labels
    return {**result.as_json(), **complete}


def _reported(step: ReportStep, as_json: bool) -> dict[str, Any]:
    if step.written is None:
        show.message(f"report: {step.out} is up to date")
        return {"out": str(step.out), "current": True}
    show.reported(step.written, as_json=False)
    return {**show.plain(step.written), "current": False}


def open_page(page: Path) -> None:
    """Open a page in the browser."""
    import webbrowser

    webbrowser.open(page.resolve().as_uri())


_PRODUCTS: Mapping[str, Callable[[Any, bool], Any]] = {
    "export": _exports,
    "train": _trained,
    "evaluate": _evaluated,
    "report": _reported,
}
