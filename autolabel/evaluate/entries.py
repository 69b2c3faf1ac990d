"""Who and what is compared: the photos, the labels, the students and their predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth, read_hand_labels
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.evaluate.hand_label_baseline import SUFFIX, Reference, train_twin
from autolabel.evaluate.replay import replay
from autolabel.evaluate.students import Entrant, find_students, predict
from autolabel.evaluate.truth_match import match_truth
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter
from autolabel.stages.table import label_layers
from autolabel.store import Layer, Workspace
from autolabel.train.base import THRESHOLD
from autolabel.train.folder import labels_changed

Say = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One thing to measure.

    Attributes:
        name: how the table calls it.
        kind: teacher (raw boxes), labels, student or reference.
        layer: holds what it found.
        threshold: operating point of precision, recall and F1.
    """

    name: str
    kind: str
    layer: Layer
    threshold: float


@dataclass(frozen=True)
class Field:
    """All that is compared.

    Attributes:
        home: the workspace whose layers hold the photos and what was found in them.
        labels: the layer at the end of the teacher's pipeline there.
        rows: in the order of the pipeline.
        students: the students among them, the twin of the reference left out.
        reference: the twin, if there is one.
        notes: what a reader of the figures should know.
    """

    home: Workspace
    labels: Layer
    rows: tuple[Row, ...]
    students: tuple[Entrant, ...]
    reference: Reference | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Call:
    """What was asked for, and how to go about it.

    Attributes:
        workspace: has labels.
        config: the hand labels, and what to measure.
        engine: how models run.
        report: called when work begins.
        say: called with a line for people.
        newest: the layer of labels to measure beside the raw boxes; the newest if None.
    """

    workspace: Workspace
    config: EvaluateConfig
    engine: EngineConfig
    report: Reporter
    say: Say
    newest: str | None = None


def find_field(call: Call, truth: GroundTruth) -> Field:
    """Everything to compare, labelled and predicted on where that was not done yet.

    Raises:
        AutolabelError: a student, a model or hand labels do not fit.
    """
    workspace, config = call.workspace, call.config
    name = config.layer or call.newest
    labels = (workspace.require(name) if name else workspace.newest(label_layers())).snapshot()
    ontology_of(labels)  # a layer without labels has nothing to measure
    students = find_students(workspace, config, call.say)
    hand = _hand_labels(config, truth, students)
    home, notes = workspace, [_outdated(one) for one in students if _is_outdated(workspace, one)]
    if config.student_threshold is None:
        notes += [_unchosen(one) for one in students if one.threshold is None]
    if _is_aside(workspace, labels, truth, config):
        photos = [image.path for image in truth.records if image.path is not None]
        call.say("evaluate: the hand-labelled photos are held out; labelling them aside")
        labels = replay(workspace, labels, photos, call.engine, report=call.report)
        home = Workspace(labels.path.parent)
    elif students:
        notes.append(IN_POOL)
    rows = _label_rows(home, labels, config)
    rows += [_predicted(call, home, labels, truth, one, one.name, "student") for one in students]
    twin = None
    if hand is not None:
        twin = train_twin(
            workspace, students[0], hand, truth, known_to(hand, config),
            call.engine, call.report, call.say,
        )  # fmt: skip
        name = f"{twin.of.name} {SUFFIX}"
        rows.append(_predicted(call, home, labels, truth, twin.twin, name, "reference"))
        if twin.images < twin.possible:
            notes.append(
                f"{twin.images} of the {twin.possible} images that {twin.of.name} could learn "
                "from are labelled by hand; its twin learned from those alone."
            )
    return Field(home, labels, tuple(rows), tuple(students), twin, tuple(notes))


def _is_outdated(workspace: Workspace, student: Entrant) -> bool:
    """Whether the labels that a student learned from here are others by now."""
    here = student.weights.parent.parent == workspace.path / "train"
    return here and labels_changed(workspace, student.run)


def _outdated(student: Entrant) -> str:
    return (
        f"{student.name} learned from labels that have changed since; autolabel train makes it "
        "anew."
    )


def _unchosen(student: Entrant) -> str:
    return (
        f"{student.name} has no operating threshold of its own; its precision, recall and F1 are "
        f"from score {THRESHOLD:g}."
    )


IN_POOL = (
    "The photos belong to the pool, so that students may have learned from these very photos; "
    "hold them out (ingest --holdout) for figures that hold for new photos."
)


def _predicted(
    call: Call,
    home: Workspace,
    labels: Layer,
    truth: GroundTruth,
    student: Entrant,
    name: str,
    kind: str,
) -> Row:
    """What a student finds in the photos: of a pool in those with hand labels, else in all."""
    wanted = None
    if home.path == call.workspace.path:
        records = home.require("images").records()
        wanted = {record.image_id for record, _ in match_truth(records, truth).pairs}
    ontology = ontology_of(labels)
    layer = predict(home, student, ontology, wanted, call.engine, call.report)
    return Row(name, kind, layer, student.operating_point(call.config))


def _hand_labels(
    config: EvaluateConfig, truth: GroundTruth, students: list[Entrant]
) -> GroundTruth | None:
    """Those of `--reference`, if they are asked for.

    Raises:
        AutolabelError: there is no student, or `--class-map` names what is in neither set.
    """
    if config.reference is None:
        return None
    if not students:
        raise UsageError(
            "--reference needs a student to compare with",
            hint="run autolabel train first, or name a student with --student",
        )
    hand = read_hand_labels(Path(config.reference))
    names = tuple(dict.fromkeys((*truth.names, *hand.names)))
    unknown = [name for name in config.class_map if name not in names]
    if unknown:  # of a single set, reading its classes says so
        raise AutolabelError(
            f"--class-map names {unknown[0]!r}, which is no class of the hand labels",
            hint=suggest(unknown[0], names, "their classes are"),
        )
    return hand


def _label_rows(home: Workspace, labels: Layer, config: EvaluateConfig) -> list[Row]:
    """The raw boxes and the labels that were made of them; only what `--layer` names if it does."""
    names = [labels.name]
    if config.layer is None and labels.name != "detect" and home.layer("detect").exists:
        names.insert(0, "detect")
    return [
        Row(
            n,
            "teacher" if n == "detect" else "labels",
            home.require(n).snapshot(),
            config.score_threshold,
        )
        for n in names
    ]


def _is_aside(
    workspace: Workspace, layer: Layer, truth: GroundTruth, config: EvaluateConfig
) -> bool:
    """Whether the photos are labelled beside the pool."""
    if config.label_truth is not None:
        return config.label_truth
    if not workspace.require("images").manifest.settings.get("holdout"):
        return False
    usable = [record for record in layer.records() if record.usable]
    return not match_truth(usable, truth).pairs


def known_to(truth: GroundTruth, config: EvaluateConfig) -> dict[str, str]:
    """The part of `--class-map` that is about these hand labels, where there are two sets."""
    if config.reference is None:
        return config.class_map
    return {name: to for name, to in config.class_map.items() if name in truth.names}
