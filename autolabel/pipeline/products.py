"""What is made of a workspace's labels: exports, students, an evaluation, the page.

Each function chooses the labels as its options say, makes the product, and returns it with what the
labels lack. Commands, pipeline files and the public API run these.
"""

from __future__ import annotations

from pathlib import Path

from autolabel.config import EngineConfig, EvaluateConfig, ExportConfig, ReportConfig, TrainConfig
from autolabel.datasets.export import ExportResult, export
from autolabel.datasets.ground_truth import GroundTruth, read_hand_labels
from autolabel.engine.base import Progress
from autolabel.evaluate import evaluate
from autolabel.metrics.result import Evaluation
from autolabel.report import ReportResult, write_report
from autolabel.review.queue import ranked_images
from autolabel.stages.labels import ChosenLabels, Say, chosen_labels, quiet
from autolabel.stages.running import Reporter, silent
from autolabel.store import Layer, Workspace
from autolabel.train import LICENCE, TrainResult, train


def export_labels(
    workspace: Workspace, config: ExportConfig, *, allow_unfinished: bool = False, say: Say = quiet
) -> tuple[ExportResult, ChosenLabels]:
    """Write the kept labels as a dataset.

    Raises:
        AutolabelError: there are no labels, or the folder holds something else.
    """
    labels = chosen_labels(workspace, config.from_layer, allow_unfinished=allow_unfinished, say=say)
    only = queued(workspace, labels.layer, config)
    return export(workspace, labels.layer, labels.ontology, config, only), labels


def queued(workspace: Workspace, layer: Layer, config: ExportConfig) -> frozenset[str] | None:
    """Return the ids of the images that `--queue` leaves in an export; None for all.

    Raises:
        AutolabelError: the labels or people's decisions cannot be read.
    """
    if not config.queue:
        return None
    looks = ranked_images(workspace, layer, limit=config.queue, seed=config.seed)
    return frozenset(look.image_id for look in looks)


def train_student(
    workspace: Workspace,
    config: TrainConfig,
    engine: EngineConfig,
    *,
    overwrite: bool = False,
    allow_unfinished: bool = False,
    report: Reporter = silent,
    say: Say = quiet,
) -> tuple[TrainResult, ChosenLabels]:
    """Train a student on the kept labels, and say when it begins or goes on.

    Raises:
        AutolabelError: there are no labels, the trainer is not installed, or settings differ.
    """
    labels = chosen_labels(workspace, config.from_layer, allow_unfinished=allow_unfinished, say=say)

    def begun(stage: str, epochs: int) -> Progress:
        say(f"train: {LICENCE}")
        if epochs < config.epochs:
            say(f"train: goes on after epoch {config.epochs - epochs}")
        return report(stage, epochs)

    done = train(
        workspace, labels.layer, labels.ontology, config, engine,
        overwrite=overwrite, report=begun, say=say,
    )  # fmt: skip
    return done, labels


def evaluate_labels(
    workspace: Workspace,
    config: EvaluateConfig,
    engine: EngineConfig,
    *,
    truth: GroundTruth | None = None,
    reference: GroundTruth | None = None,
    newest: str | None = None,
    allow_unfinished: bool = False,
    report: Reporter = silent,
    say: Say = quiet,
) -> tuple[Evaluation, ChosenLabels]:
    """Measure labels and students on hand-labelled photos.

    Args:
        workspace: has labels.
        config: the hand labels, and what to measure.
        engine: how models run.
        truth, reference: the hand labels that `config` names, where they were read already.
        newest: the layer to measure where `config` names none; the newest by default.
        allow_unfinished: whether labels that are unfinished or stale will do.
        report: called when work begins.
        say: called with a line for people.

    Raises:
        AutolabelError: photos, classes or models do not fit.
    """
    if truth is None:
        truth = read_hand_labels(Path(config.truth))  # a typo in it comes before all else
    labels = chosen_labels(
        workspace, config.layer or newest,
        allow_unfinished=allow_unfinished, flag="--layer", say=say,
    )  # fmt: skip
    result = evaluate(
        workspace, truth, config, engine, report, newest=newest, reference=reference, say=say
    )
    return result, labels


def write_page(
    workspace: Workspace, config: ReportConfig, *, allow_unfinished: bool = False, say: Say = quiet
) -> tuple[ReportResult, ChosenLabels]:
    """Write the page about a layer of labels.

    Raises:
        AutolabelError: there are no labels, or the page cannot be written.
    """
    labels = chosen_labels(
        workspace, config.layer, allow_unfinished=allow_unfinished, flag="--layer", say=say
    )
    return write_report(workspace, labels.layer, labels.ontology, config), labels
