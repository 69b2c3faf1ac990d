"""The plan of an evaluation: which labels and students are measured, and where."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth, read_hand_labels
from autolabel.datasets.relabelled import RelabelledLayer
from autolabel.datasets.truth_match import match_truth
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.evaluate.hand_label_baseline import Baseline, train_baseline
from autolabel.evaluate.predictions import predict
from autolabel.evaluate.replay import replay
from autolabel.evaluate.students import TrainedStudent, find_students
from autolabel.stages.history import ontology_of, renamings
from autolabel.stages.labels import Say
from autolabel.stages.running import Reporter
from autolabel.stages.table import label_layers
from autolabel.store import Layer, Workspace
from autolabel.train.base import THRESHOLD
from autolabel.train.folder import labels_changed

LABELLED = ("teacher", "labels")
"""Kinds of entries that the large models made."""

IN_POOL = (
    "The photos belong to the pool, so that students may have learned from these very photos; "
    "hold them out (ingest --holdout) for figures that hold for new photos."
)


@dataclass(frozen=True)
class Request:
    """What was asked for, and how to go about it.

    Attributes:
        workspace: has labels.
        config: the hand labels, and what to measure.
        engine: how models run.
        report: called when work begins.
        say: called with a line for people.
        newest: the layer of labels to measure beside the raw boxes; the newest if None.
        reference: the hand labels of `--reference`, where they were read already.
    """

    workspace: Workspace
    config: EvaluateConfig
    engine: EngineConfig
    report: Reporter
    say: Say
    newest: str | None = None
    reference: GroundTruth | None = None


@dataclass(frozen=True)
class Entry:
    """One thing to measure.

    Attributes:
        name: how the table calls it.
        kind: `teacher` (raw boxes), `labels`, `student` or `reference` (its hand-label baseline).
        layer: holds what it found.
        threshold: operating point of precision, recall and F1.
    """

    name: str
    kind: str
    layer: Layer
    threshold: float


@dataclass(frozen=True)
class Entries:
    """All that is measured.

    Attributes:
        home: the workspace whose layers hold the photos and what was found in them.
        labels: the layer at the end of the teacher's pipeline there.
        all: in the order of the pipeline.
        students: the students among them, the hand-label baseline left out.
        baseline: the hand-label baseline, if there is one.
        notes: what a reader of the figures should know.
    """

    home: Workspace
    labels: Layer
    all: tuple[Entry, ...]
    students: tuple[TrainedStudent, ...]
    baseline: Baseline | None
    notes: tuple[str, ...]


def find_entries(request: Request, truth: GroundTruth) -> Entries:
    """Find everything to measure, labelled and predicted on where that was not done yet.

    Photos that nothing was labelled in are labelled by a replay of the pipeline, in a workspace of
    their own.

    Raises:
        AutolabelError: a student, a model or hand labels do not fit.
    """
    workspace, config = request.workspace, request.config
    name = config.layer or request.newest
    labels = (workspace.require(name) if name else workspace.newest(label_layers())).snapshot()
    ontology_of(labels)  # a layer without labels has nothing to measure
    students = find_students(workspace, config, request.say)
    hand = _hand_labels(request, truth, students)
    home, notes = workspace, _notes_about(students, request)
    if _needs_replay(workspace, labels, truth, config):
        photos = [image.path for image in truth.records if image.path is not None]
        request.say(
            "evaluate: the hand-labelled photos are held out; replaying the pipeline on them"
        )
        labels = replay(workspace, labels, photos, request.engine, report=request.report)
        home = Workspace(labels.path.parent)
    elif students:
        notes.append(IN_POOL)
    found = _labels(home, labels, config)
    for student in students:
        layer = _predicted(request, home, labels, truth, student)
        found.append(Entry(student.name, "student", layer, student.operating_point(config)))
    baseline = None
    if hand is not None:
        baseline = train_baseline(
            workspace, students[0], hand, truth, classes_about(hand, config),
            request.engine, request.report, request.say,
        )  # fmt: skip
        layer = _predicted(request, home, labels, truth, baseline.student)
        point = baseline.student.operating_point(config)
        found.append(Entry(baseline.name, "reference", layer, point))
        notes += _notes_about_baseline(baseline)
    return Entries(home, labels, tuple(found), tuple(students), baseline, tuple(notes))


def _labels(home: Workspace, labels: Layer, config: EvaluateConfig) -> list[Entry]:
    """Return the raw boxes and the labels made of them; only what `--layer` names if it does."""
    names = [labels.name]
    if config.layer is None and labels.name != "detect" and home.layer("detect").exists:
        names.insert(0, "detect")
    kinds = {name: "teacher" if name == "detect" else "labels" for name in names}
    layers = {name: home.require(name).snapshot() for name in names}
    if len(names) > 1:  # the raw boxes by the names that their classes have in the labels
        for _, changes in renamings(labels, ()):
            layers["detect"] = RelabelledLayer(layers["detect"], changes.new)
    return [Entry(name, kinds[name], layers[name], config.score_threshold) for name in names]


def _predicted(
    request: Request, home: Workspace, labels: Layer, truth: GroundTruth, student: TrainedStudent
) -> Layer:
    """Return what a student finds: of a pool in the photos with hand labels, else in all."""
    wanted = None
    if home.path == request.workspace.path:
        records = home.require("images").records()
        wanted = {record.image_id for record, _ in match_truth(records, truth).pairs}
    renamed = [changes.new for _, changes in renamings(labels, ())]
    return predict(
        home, student, ontology_of(labels), wanted, request.engine, request.report, renamed
    )


def _needs_replay(
    workspace: Workspace, layer: Layer, truth: GroundTruth, config: EvaluateConfig
) -> bool:
    """Say whether the photos are labelled apart from the pool: none of them is in it."""
    if config.label_truth is not None:
        return config.label_truth
    if not workspace.require("images").manifest.settings.get("holdout"):
        return False
    usable = [record for record in layer.records() if record.usable]
    return not match_truth(usable, truth).pairs


# -- the hand-label baseline ------------------------------------------------------------------


def _hand_labels(
    request: Request, truth: GroundTruth, students: Sequence[TrainedStudent]
) -> GroundTruth | None:
    """Return those of `--reference`, if they are asked for.

    Raises:
        AutolabelError: there is no student, or `--class-map` names what is in neither set.
    """
    config = request.config
    if config.reference is None:
        return None
    if not students:
        raise UsageError(
            "--reference needs a student to compare with",
            hint="run autolabel train first, or name a student with --student",
        )
    hand = request.reference or read_hand_labels(Path(config.reference))
    names = tuple(dict.fromkeys((*truth.names, *hand.names)))
    unknown = [name for name in config.class_map if name not in names]
    if unknown:  # of a single set, reading its classes says so
        raise AutolabelError(
            f"--class-map names {unknown[0]!r}, which is not a class of the hand labels",
            hint=suggest(unknown[0], names, "their classes are"),
        )
    return hand


def classes_about(truth: GroundTruth, config: EvaluateConfig) -> dict[str, str]:
    """Return the part of `--class-map` that is about these hand labels, where there are two."""
    if config.reference is None:
        return config.class_map
    return {name: to for name, to in config.class_map.items() if name in truth.names}


# -- notes ------------------------------------------------------------------------------------


def _notes_about(students: Sequence[TrainedStudent], request: Request) -> list[str]:
    notes = [
        f"{one.name} learned from labels that have changed since; autolabel train makes it anew."
        for one in students
        if _is_outdated(request.workspace, one)
    ]
    if request.config.student_threshold is None:
        notes += [
            f"{one.name} has no operating threshold of its own; its precision, recall and F1 are "
            f"from score {THRESHOLD:g}."
            for one in students
            if one.threshold is None
        ]
    return notes


def _is_outdated(workspace: Workspace, student: TrainedStudent) -> bool:
    """Say whether the labels that a student learned from here are others by now."""
    here = student.weights.parent.parent == workspace.path / "train"
    return here and labels_changed(workspace, student.run)


def _notes_about_baseline(baseline: Baseline) -> list[str]:
    if baseline.images >= baseline.possible:
        return []
    return [
        f"{baseline.images} of the {baseline.possible} images that {baseline.of.name} could learn "
        "from are labelled by hand; its hand-label baseline learned from those alone."
    ]
