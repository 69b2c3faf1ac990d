"""Import: people's labels, of any format, become decisions about those of a workspace."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from autolabel.config import EngineConfig, ImportConfig, IngestConfig
from autolabel.corrections.decisions import Decisions, now
from autolabel.corrections.importing import ImportSummary, class_names, decide
from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth
from autolabel.datasets.truth_match import TruthMatch, match_truth
from autolabel.errors import AutolabelError
from autolabel.stages.corrected import refresh
from autolabel.stages.ingest import ingest
from autolabel.stages.labels import chosen_labels
from autolabel.stages.running import Reporter, check_ready, silent
from autolabel.stages.table import label_layers
from autolabel.store import Workspace, lock_names, locked_names
from autolabel.types import Objects


def import_labels(
    workspace: Workspace,
    path: Path,
    config: ImportConfig,
    engine: EngineConfig,
    *,
    dry_run: bool = False,
    report: Reporter = silent,
) -> ImportSummary:
    """Read people's labels and note what they say about those that the workspace has.

    Images are matched by their bytes, else by name. What people drew, moved, relabelled, confirmed
    or deleted is locked: no later stage changes it. Either all of it is noted or nothing.

    Args:
        workspace: labels, if it has any, are complete; where it has no images, the folders of the
            labelled ones are ingested.
        path: a file or a folder.
        config: how it is read.
        engine: how images are ingested.
        dry_run: whether nothing is written.
        report: called when work begins.

    Raises:
        AutolabelError: the labels cannot be read, none of their images is in the workspace, or its
            own labels are unfinished or stale.
    """
    truth = read_ground_truth(path, config.format)
    if not dry_run and not workspace.layer("images").exists:
        folders = dict.fromkeys(str(one.path.parent) for one in truth.records if one.path)
        ingest(workspace, IngestConfig(source=tuple(folders)), engine, report=report)
    match = _matched(workspace, truth)
    before = _labels_before(workspace, {record.image_id for record, _ in match.pairs})
    classes = class_names(truth, before.names, config.class_map)
    summary = ImportSummary(
        str(path), unmatched=tuple(match.unmatched), new_classes=classes.new,
        other_ids=classes.moved, left_out=dict(truth.skipped), against=before.shown[0],
        dry_run=dry_run,
    )  # fmt: skip
    at = now()
    decisions = [
        replace(one, at=at)
        for one in decide(match.pairs, before.objects, classes, config, summary, before.shown)
    ]
    if not dry_run:
        with workspace.lock():
            lock_names(workspace, classes.new)
            file = Decisions(workspace.path).add_import(decisions)
            summary.file = None if file is None else str(file)
        refresh(workspace)
    return summary


def _matched(workspace: Workspace, truth: GroundTruth) -> TruthMatch:
    check_ready(workspace, workspace.require("images"))
    match = match_truth(workspace.require("images").snapshot().records(), truth)
    if not match.pairs:
        why = match.unmatched[0]
        raise AutolabelError(
            f"none of the {len(truth.records)} labelled images is one of {workspace.path}; "
            f"{why.name}: {why.reason}",
            hint=f"ingest them first: autolabel ingest PHOTOS --workspace {workspace.path}",
        )
    return match


@dataclass(frozen=True)
class _Before:
    """The labels that people's are compared with.

    Attributes:
        names: classes in the order of their ids.
        objects: image id -> what is kept.
        shown: name and fingerprint of their layer; None where there is none.
    """

    names: tuple[str, ...]
    objects: dict[str, Objects] = field(default_factory=dict)
    shown: tuple[str | None, str | None] = (None, None)


def _labels_before(workspace: Workspace, wanted: set[str]) -> _Before:
    """Return the labels of some images, by their ids.

    Raises:
        AutolabelError: the labels are unfinished or stale.
    """
    if not any(workspace.layer(name).exists for name in label_layers()):
        return _Before(locked_names(workspace))
    labels = chosen_labels(workspace, None)
    rows = (record for record in labels.layer.records() if record.image_id in wanted)
    objects = {record.image_id: record.objects.kept for record in rows}
    return _Before(labels.ontology.names, objects, (labels.layer.name, labels.layer.fingerprint()))
