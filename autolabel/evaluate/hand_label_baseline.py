"""The same student, trained on hand labels of the same images: what auto labels cost.

The hand labels become a layer `truth` of a workspace of their own below ``evaluate/``, with the
images of the pool; nothing else in the pipeline reads them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autolabel.config import EngineConfig, TrainConfig
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.datasets.truth_match import match_truth
from autolabel.engine.base import Progress
from autolabel.engine.local import cores
from autolabel.errors import AutolabelError
from autolabel.evaluate.classes import map_classes
from autolabel.evaluate.students import TrainedStudent
from autolabel.ontology import Ontology
from autolabel.sources import to_uri
from autolabel.stages.labels import classes_of
from autolabel.stages.repeats import find_repeats
from autolabel.stages.running import Reporter
from autolabel.stages.scan import Scan, scanned
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.train.folder import RUN, read_run
from autolabel.types import EXCLUDED, LEAK, Objects, Record

TRUTH = "truth"
SUFFIX = "on hand labels"

NOT_LABELLED = "not labelled by hand"


@dataclass(frozen=True)
class Baseline:
    """The hand-label baseline of a student.

    Attributes:
        of: the student that learned from auto labels.
        student: the one that learned from hand labels.
        images: images with hand labels, of those that the student could learn from.
        possible: those that it could learn from.
    """

    of: TrainedStudent
    student: TrainedStudent
    images: int
    possible: int

    @property
    def name(self) -> str:
        """Return how the table calls it."""
        return f"{self.of.name} {SUFFIX}"


def train_baseline(
    workspace: Workspace,
    student: TrainedStudent,
    hand: GroundTruth,
    against: GroundTruth,
    class_map: Mapping[str, str],
    engine: EngineConfig,
    report: Reporter,
    say: Callable[[str], None],
) -> Baseline:
    """Train the same student by the same recipe on hand labels; does nothing if that is done.

    Args:
        workspace: where the student was trained.
        student: the one to repeat.
        hand: hand labels of images of the pool.
        against: what is measured against; no photo of it may be learned from.
        class_map: see `map_classes`.
        engine: how it runs.
        report: called when work begins.
        say: called with a line when a training begins.

    Raises:
        AutolabelError: the student was not trained here, the hand labels hold photos that are
            measured on, or none of the pool.
    """
    if not student.run:
        raise AutolabelError(
            f"--reference needs a student that was trained here, and {student.weights} was not",
            hint=f"run autolabel train {workspace.path}, or leave --reference out",
        )
    refuse_leaks(workspace, hand, against)
    source = workspace.require(str(student.run.get("layer")))
    ontology = classes_of(workspace, source)
    home, layer, counts = _hand_layer(workspace, source, ontology, hand, class_map)

    def begun(stage: str, epochs: int) -> Progress:
        say(f"evaluate: training student {student.name} {SUFFIX}, of {counts[0]} images")
        return report(stage, epochs)

    weights = _train(home, layer, ontology, student, against, engine, begun)
    made = TrainedStudent(f"{student.name}-hand", weights, read_run(weights.parent))
    return Baseline(student, made, *counts)


def _train(
    home: Workspace,
    layer: Layer,
    ontology: Ontology,
    student: TrainedStudent,
    against: GroundTruth,
    engine: EngineConfig,
    report: Reporter,
) -> Path:
    from autolabel.train import train
    from autolabel.train.choose import apart_from

    masks = bool(student.run.get("masks"))
    if masks and not any(m is not None for r in layer.records() for m in r.objects.mask):
        raise AutolabelError(
            f"student {student.name} learned masks, and the hand labels of --reference have none",
            hint="name hand labels with masks, or a student of boxes with --student",
        )
    asked = {"task": "segment" if masks else "detect", "holdout": ()}
    try:
        recipe = TrainConfig.model_validate(dict(student.run.get("settings") or {}) | asked)
    except (TypeError, ValueError):
        raise AutolabelError(
            f"what {student.weights.parent / RUN} says of the recipe is damaged",
            hint="train the student anew: autolabel train --overwrite, or leave --reference out",
        ) from None
    recipe = apart_from(recipe, against)  # what was made from its photos is not learned from either
    return train(home, layer, ontology, recipe, engine, overwrite=True, report=report).weights


def refuse_leaks(workspace: Workspace, hand: GroundTruth, against: GroundTruth) -> None:
    """See that no photo of `against`, nor one that nearly equals it, is among `hand`.

    Hashes tell that of files that may not be in the workspace. What else was made from one, a part
    of it, say, the leak guard keeps from training, as it does for every student.

    Raises:
        AutolabelError: one is.
    """
    settings = workspace.require("images").manifest.settings
    near_bits = max(int(settings.get("near_bits", 6)), 0)
    held_out = scanned(_photos(against))
    in_pool = [
        record for record, _ in match_truth(workspace.require("images").records(), hand).pairs
    ]
    records = [*_seen(hand), *in_pool]
    marks = find_repeats(records, held_out, near_bits=near_bits)
    leaks = [r for r in records if (r.uri, r.image_id) in marks
             and marks[r.uri, r.image_id].split == LEAK]  # fmt: skip
    if leaks:
        first = leaks[0]
        note = marks[first.uri, first.image_id].note
        raise AutolabelError(
            f"{hand.path} holds {len(leaks)} of the photos that are measured on; first "
            f"{Path(first.uri).name}: {note}",
            hint="--reference takes hand labels of the images that the student learned from; "
            "--truth others",
        )


def _photos(truth: GroundTruth) -> list[Path]:
    return [image.path.resolve() for image in truth.records if image.path is not None]


def _seen(truth: GroundTruth) -> list[Record]:
    """Return what `ingest` sees in each image that is there."""
    scan, root = Scan(Path("/")), Path("/")
    with ThreadPoolExecutor(cores()) as pool:
        return list(pool.map(scan.prepare, [Record("", to_uri(p, root)) for p in _photos(truth)]))


def _hand_layer(
    workspace: Workspace,
    source: Layer,
    ontology: Ontology,
    hand: GroundTruth,
    class_map: Mapping[str, str],
) -> tuple[Workspace, Layer, tuple[int, int]]:
    """Make a workspace with the pool and the layer `truth`; count images labelled, and usable."""
    mapped = map_classes(hand, ontology, class_map)
    match = match_truth(source.records(), hand)
    if not match.pairs:
        why = match.unmatched[0]
        raise AutolabelError(
            f"none of the {len(hand.records)} hand-labelled images in {hand.path} is one that the "
            f"student learned from; {why.name}: {why.reason}",
            hint="--reference takes hand labels of the images of the pool",
        )
    labels = {record.image_id: _labels(image, mapped) for record, image in match.pairs}
    digest = _digest(labels)
    home = Workspace(workspace.path / "evaluate" / f"reference-{digest[:12]}")
    pool = workspace.require("images")
    manifest = Manifest(
        stage=TRUTH,
        settings={"ontology": ontology.to_mapping(), "hand_labels": digest},
        origin={"hand_labels": str(hand.path.resolve())},
    )
    with home.lock():
        bare = replace(pool.manifest, source=None)
        images = _copy(home, "images", bare, pool, _without_objects)
        bound = bound_to(manifest, images)
        layer = _copy(home, TRUTH, bound, source, partial(_by_hand, labels), images)
    return home, layer, (len(labels), len(labels) + match.without_truth)


def _labels(image: GroundTruthImage, mapped: Mapping[str, str | None]) -> Objects:
    """Return what a student can learn from: no regions to ignore, no class left out."""
    objects = image.objects[~image.ignore]
    used = objects[[mapped[label] is not None for label in objects.label]]
    label = used.label.copy()
    label[:] = [mapped[one] for one in used.label]
    return replace(used, label=label)


def _by_hand(labels: Mapping[str, Objects], record: Record) -> Record:
    """Return an image with its hand labels; one without is out of the pool."""
    if record.image_id in labels and record.usable:
        return replace(record, objects=labels[record.image_id])
    if not record.usable:
        return replace(record, objects=Objects.empty())
    return replace(record, split=EXCLUDED, note=NOT_LABELLED, objects=Objects.empty())


def _without_objects(record: Record) -> Record:
    return replace(record, objects=Objects.empty())


def _copy(
    home: Workspace,
    name: str,
    manifest: Manifest,
    source: Layer,
    change: Callable[[Record], Record],
    parent: Layer | None = None,
) -> Layer:
    """Make a layer of the records of `source`, changed; only what is not done is done."""
    wanted = {index: source.digest(index) for index in source.shards()}
    if parent is not None:  # what follows a plus is what else went into the shard
        wanted = {index: f"{parent.digest(index)}+{digest}" for index, digest in wanted.items()}
    update = home.plan_update(name, manifest, wanted, overwrite=True)
    layer = update.begin()
    for index in update.to_do:
        layer.write(index, [change(record) for record in source.read(index)], wanted[index])
    return update.finish()


def _digest(labels: Mapping[str, Objects]) -> str:
    sha = hashlib.sha256()
    for image_id, objects in sorted(labels.items()):
        rows: Sequence[object] = [
            objects.label.tolist(),
            objects.xyxy.tolist(),
            objects.mask.tolist(),
        ]
        sha.update(f"{image_id} {rows}".encode())
    return sha.hexdigest()
