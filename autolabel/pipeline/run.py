"""Run a whole pipeline file; nothing is printed, and what each step did is a value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autolabel.config import ExportConfig, PipelineConfig
from autolabel.datasets.export import ExportResult, export, is_current
from autolabel.metrics.result import Evaluation
from autolabel.pipeline import checks
from autolabel.pipeline.products import evaluate_labels, queued, train_student, write_page
from autolabel.report import ReportResult
from autolabel.report import is_current as page_of
from autolabel.stages.labels import Say, chosen_labels, quiet, with_corrections
from autolabel.stages.running import Reporter, StageResult, silent
from autolabel.stages.table import STAGES
from autolabel.store import Workspace, write_atomic
from autolabel.train import TrainResult

OnStep = Callable[[str, Any], None]
"""Called with the name of a step and its result when it is done."""


@dataclass(frozen=True)
class ExportStep:
    """One export of a pipeline.

    Attributes:
        out: folder of the dataset.
        exported: what was written; None where it was up to date.
    """

    out: str
    exported: ExportResult | None


@dataclass(frozen=True)
class ReportStep:
    """The page of a pipeline.

    Attributes:
        out: the page.
        written: what was written; None where it was up to date.
    """

    out: Path
    written: ReportResult | None


@dataclass(frozen=True)
class PipelineResult:
    """What a pipeline did.

    Attributes:
        workspace: where.
        steps: step -> its result: `StageResult` of a stage, a list of `ExportStep`, `TrainResult`,
            `Evaluation`, `ReportStep`.
    """

    workspace: Workspace
    steps: dict[str, Any] = field(default_factory=dict)


def run_pipeline(
    config: PipelineConfig,
    *,
    until: str | None = None,
    report: Reporter = silent,
    say: Say = quiet,
    done: OnStep = lambda step, result: None,
) -> PipelineResult:
    """Run the steps that a pipeline names; each does only what is left to do.

    What can be checked is checked before the first one.

    Args:
        config: the pipeline.
        until: the last step; all by default.
        report: called when work begins.
        say: called with a line for people.
        done: called after each step.

    Raises:
        UsageError: there is no step `until`.
        AutolabelError: whatever stops a step.
    """
    steps = checks.named(config, until)
    hand = checks.HandLabels(config)
    checks.check(config, steps, hand)
    run = _Run(config, hand, Workspace(config.workspace), report, say)
    results = PipelineResult(run.workspace)
    for step in steps:
        results.steps[step] = run.stage(step) if step in STAGES else getattr(run, f"_{step}")()
        done(step, results.steps[step])
    return results


class _Run:
    """A pipeline under way."""

    def __init__(
        self,
        config: PipelineConfig,
        hand: checks.HandLabels,
        workspace: Workspace,
        report: Reporter,
        say: Say,
    ) -> None:
        self.config = config
        self.hand = hand
        self.workspace = workspace
        self.report = report
        self.say = say

    @property
    def newest(self) -> str:
        """The layer of labels that the pipeline ends with, people's laid over."""
        return with_corrections(self.workspace, checks.last_labels(self.config))

    def stage(self, name: str) -> StageResult:
        entry = STAGES[name]
        source = {"from_layer": checks.source_in(self.config, entry)} if entry.reads else {}
        done: StageResult = entry.run(
            self.workspace, getattr(self.config, name), self.config.engine,
            overwrite=True, report=self.report, **source,
        )  # fmt: skip
        if name == "ingest":
            options = self.config.model_dump(mode="json", by_alias=True)
            text = yaml.safe_dump(options, sort_keys=False)
            write_atomic(self.workspace.path / "pipeline.yaml", text.encode())
        return done

    def _export(self) -> list[ExportStep]:
        return [self._one_export(one) for one in self.config.export]

    def _one_export(self, one: ExportConfig) -> ExportStep:
        one = one.model_copy(update={"from_layer": one.from_layer or self.newest})
        labels = chosen_labels(self.workspace, one.from_layer)
        only = queued(self.workspace, labels.layer, one)
        if is_current(self.workspace, labels.layer, labels.ontology, one, only):
            return ExportStep(one.out, None)
        done = export(self.workspace, labels.layer, labels.ontology, one, only)
        return ExportStep(one.out, done)

    def _train(self) -> TrainResult:
        recipe = checks.recipe_of(self.config, self.hand, self.newest)
        return train_student(
            self.workspace, recipe, self.config.engine,
            overwrite=True, report=self.report, say=self.say,
        )[0]  # fmt: skip

    def _evaluate(self) -> Evaluation:
        assert self.config.evaluate is not None  # it is among the steps
        return evaluate_labels(
            self.workspace, self.config.evaluate, self.config.engine,
            truth=self.hand.truth, reference=self.hand.reference, newest=self.newest,
            report=self.report, say=self.say,
        )[0]  # fmt: skip

    def _report(self) -> ReportStep:
        about = self.config.report
        assert about is not None  # it is among the steps
        name = about.layer or self.newest
        about = about.model_copy(update={"layer": name})
        page = page_of(self.workspace, self.workspace.require(name), about)
        if page is not None and not about.open:
            return ReportStep(page, None)
        written = write_page(self.workspace, about, say=self.say)[0]
        return ReportStep(written.out, written)
