"""Everything that the page says, gathered from the workspace."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from autolabel import __version__
from autolabel.config import ReportConfig
from autolabel.metrics.result import RESULT, Evaluation
from autolabel.ontology import Ontology
from autolabel.report.album import Album
from autolabel.report.beside import Beside, beside
from autolabel.report.gallery import Gallery, gallery
from autolabel.report.photos import Photos
from autolabel.report.read import Training, read_measured, read_trainings
from autolabel.report.tally import Tally, tally
from autolabel.report.verdict import Verdict, verdict
from autolabel.stages.history import StageRun, commands, stage_runs, train_command
from autolabel.store import Counts, Layer, Workspace

_PACKAGES = ("torch", "transformers", "ultralytics", "supervision", "pycocotools")


@dataclass(frozen=True)
class Made:
    """With what, when and how the page and the labels were made."""

    date: str
    versions: dict[str, str]
    commands: tuple[str, ...]
    pipeline: str


@dataclass(frozen=True)
class Facts:
    """What the page says.

    Attributes:
        images: counts of the photos that were ingested.
        counts: of the layer.
        gone: uri -> what is wrong, of photos that could not be read.
        left_out: pictures for which there was no room.
    """

    workspace: str
    layer: str
    ontology: Ontology
    verdict: Verdict
    images: Counts
    counts: Tally
    runs: tuple[StageRun, ...]
    measured: Evaluation | None
    trainings: tuple[Training, ...]
    beside: Beside
    gallery: Gallery
    gone: dict[str, str]
    left_out: int
    made: Made


def gather(workspace: Workspace, layer: Layer, ontology: Ontology, config: ReportConfig) -> Facts:
    """Read what there is; each large layer is looked over by its columns, once."""
    counts = tally(layer, crops=config.crops, images=config.images)
    measured, damaged = read_measured(workspace.path / RESULT)
    trainings, broken = read_trainings(workspace.path / "train")
    notes = [f"{text}; it is not shown." for text in (damaged, *broken) if text]
    notes += _stale(workspace, layer, measured, trainings)
    album, gone = Album(), dict[str, str]()
    compared = Beside()
    if measured is not None and config.images:
        compared = beside(album, workspace, ontology, measured, config.images, gone)
    photos = Photos(workspace.source_root, gone)
    shown = gallery(album, photos, layer, ontology.names, counts)
    return Facts(
        workspace=workspace.path.resolve().name,
        layer=layer.name,
        ontology=ontology,
        verdict=verdict(counts, ontology.names, measured, trainings, notes),
        images=workspace.require("images").counts(),
        counts=counts,
        runs=tuple(stage_runs(workspace, layer)),
        measured=measured,
        trainings=tuple(trainings),
        beside=compared,
        gallery=shown,
        gone=gone,
        left_out=album.left_out,
        made=_made(workspace, layer, measured, trainings),
    )


def _stale(
    workspace: Workspace, layer: Layer, measured: Evaluation | None, trainings: Sequence[Training]
) -> Iterator[str]:
    """What was measured or learned from labels that have changed since."""
    for state in workspace.states():
        if state.layer.name == layer.name and not state.complete:
            name = layer.name
            yield f"The layer {name}/ is unfinished or stale: run autolabel {name} again."
    if measured is not None and measured.workspace != ".":
        beside = Workspace(workspace.path / measured.workspace)
        for run in stage_runs(workspace, layer):
            old = beside.layer(run.layer)
            if run.stage != "ingest" and old.exists:
                changed = old.manifest.changes_to(workspace.layer(run.layer).manifest)
                if changed:
                    yield (
                        f"What was measured was labelled by other settings ({'; '.join(changed)}): "
                        "run autolabel evaluate again."
                    )
    labels = layer.fingerprint() if trainings else ""
    for training in trainings:
        learned = training.run.get("layer_fingerprint")
        if training.run.get("layer") == layer.name and learned and learned != labels:
            yield (
                f"The small detector {training.name} learned from labels that have changed since: "
                "run autolabel train again."
            )
        if training.run.get("state") == "unfinished":
            yield f"The training of {training.name} is unfinished: run autolabel train again."


def _made(
    workspace: Workspace, layer: Layer, measured: Evaluation | None, trainings: Sequence[Training]
) -> Made:
    lines = commands(workspace, layer)
    for training in trainings:
        settings = training.run.get("settings")
        if isinstance(settings, dict):
            lines.append(train_command(workspace, settings))
    home = str(workspace.path)
    if measured is not None:
        lines.append(shlex.join(["autolabel", "evaluate", home, "--truth", measured.truth]))
    lines.append(shlex.join(["autolabel", "report", home]))
    versions = {"autolabel": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    pipeline = workspace.path / "pipeline.yaml"
    return Made(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=versions,
        commands=tuple(lines),
        pipeline=pipeline.read_text("utf-8", "replace") if pipeline.is_file() else "",
    )
