"""What people's corrections are worth where the queue puts them, beside as many at random places.

    python benchmarks/corrections.py runs/demo --truth sample_data/blood_cells/reference.json
    python benchmarks/corrections.py runs/demo --truth sample_data/blood_cells/reference.json \
        --keep runs/corrected --train --validation sample_data/blood_cells/validation

Nobody is asked: the hand labels answer. `--images` photos are gone over completely, or `--looks`
places are judged one by one as on the review page: confirmed, deleted, moved, relabelled or drawn.
The decisions are folded and laid over the machine's labels as those of people are, and F1 of the
kept labels against the hand labels is measured before and after. With `--train` the decisions of
the queue's photos are written to a copy of the workspace, the demo's student is trained on its
labels, and measured beside the student that the workspace has, on photos that nothing learned from.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from label_errors import BADLY_LOCATED, OVERLOOKED, SPURIOUS, SWAPPED, LabelError, label_errors

from autolabel.config import EngineConfig, EvaluateConfig, IngestConfig, load_pipeline
from autolabel.corrections.decisions import Decision, Decisions
from autolabel.corrections.fold import fold
from autolabel.corrections.overlay import overlay
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage, read_ground_truth
from autolabel.datasets.truth_match import match_truth
from autolabel.evaluate.photos import find_evaluation_set
from autolabel.evaluate.predictions import predict
from autolabel.evaluate.students import find_students
from autolabel.metrics.bootstrap import draw
from autolabel.metrics.measure import Measurement, differences, measure
from autolabel.ontology import Ontology
from autolabel.ops.pairs import overlapping
from autolabel.pipeline.products import train_student
from autolabel.review.queue import AUTO, RANDOM, Look, ranked, ranked_images
from autolabel.stages.ingest import ingest
from autolabel.stages.labels import chosen_labels
from autolabel.stages.running import silent
from autolabel.store import Workspace
from autolabel.types import Record

ACTION = {SPURIOUS: "deleted", OVERLOOKED: "drawn", SWAPPED: "relabelled", BADLY_LOCATED: "moved"}
IOU = 0.5
NAME = "retrained"


@dataclass(frozen=True)
class Photo:
    """One photo as the workspace has it, its hand labels, and what is wrong."""

    record: Record
    hand: GroundTruthImage
    errors: Sequence[LabelError]

    @classmethod
    def of(cls, record: Record, hand: GroundTruthImage) -> Photo:
        """Compare the kept labels with the hand labels."""
        return cls(record, hand, label_errors(record.objects.kept, hand.objects, hand.ignore))


def answer(photo: Photo, error: LabelError) -> Decision:
    """What a person who knows the hand labels does about an error."""
    kept, hand = photo.record.objects.kept, photo.hand.objects
    was = (
        None if error.label is None
        else {"label": kept.label[error.label], "xyxy": kept.xyxy[error.label].tolist()}
    )  # fmt: skip
    now = was if error.truth is None else _object(hand, error.truth)
    return Decision(
        image_id=photo.record.image_id, action=ACTION[error.kind], via="review", was=was,
        label=now["label"], xyxy=tuple(now["xyxy"]), who="benchmark",
    )  # fmt: skip


def _object(objects, i: int) -> dict:
    return {"label": objects.label[i], "xyxy": objects.xyxy[i].tolist()}


def judged(photo: Photo, look: Look) -> Decision | None:
    """What a person does at one place; None where there is nothing to decide."""
    objects = photo.record.objects
    if look.index is not None and look.keep:
        at = int(np.count_nonzero(objects.keep[: look.index]))
        wrong = [error for error in photo.errors if error.label == at]
        if wrong:
            return answer(photo, wrong[0])
        return Decision(
            image_id=photo.record.image_id, action="confirmed", via="review", label=look.label,
            xyxy=look.xyxy, was={"label": look.label, "xyxy": look.xyxy}, who="benchmark",
        )  # fmt: skip
    missed = [error for error in photo.errors if error.kind == OVERLOOKED]
    boxes = photo.hand.objects.xyxy[[error.truth for error in missed]].reshape(-1, 4)
    _, found, _ = overlapping([look.xyxy], boxes, IOU)
    same = [missed[j] for j in found if photo.hand.objects.label[missed[j].truth] == look.label]
    return answer(photo, same[0]) if same else None


def corrected(photos: Mapping[str, Photo], decisions: Sequence[Decision]) -> list[Record]:
    """The records of the photos with decisions laid over them."""
    people = fold(decisions)
    return [
        replace(photo.record, objects=overlay(photo.record.objects, people[name]))
        if name in people
        else photo.record
        for name, photo in photos.items()
    ]


def f1_of(records: Sequence[Record], truth: GroundTruth, ontology: Ontology) -> float:
    """F1 of all kept labels."""
    against, (found,) = find_evaluation_set([records], truth, ontology, {})
    none = draw(len(against.names), 0, 0)
    done = measure(found, against, score_threshold=0.0, iou=IOU, weights=none)
    return float(done.figures.f1 or 0.0)


class Arms:
    """The queue and random places, image by image and look by look."""

    def __init__(self, home: Workspace, layer_name: str | None, truth: GroundTruth) -> None:
        self.home, self.truth = home, truth
        labels = chosen_labels(home, layer_name)
        self.layer, self.ontology = labels.layer, labels.ontology
        matched = match_truth(self.layer.records(), truth)
        self.photos = {r.image_id: Photo.of(r, hand) for r, hand in matched.pairs}

    def images(self, how: str, count: int, seed: int) -> list[Decision]:
        """Every error of the first images."""
        ranking = ranked_images(self.home, self.layer, how, len(self.layer), seed)
        names = [one.image_id for one in ranking if one.image_id in self.photos][:count]
        return [answer(self.photos[n], e) for n in names for e in self.photos[n].errors]

    def looks(self, how: str, count: int, seed: int) -> list[Decision]:
        """What is decided at the first places."""
        looks = ranked(self.home, self.layer, how, count, seed)
        done = [judged(self.photos[x.image_id], x) for x in looks if x.image_id in self.photos]
        return [one for one in done if one is not None]

    def f1(self, decisions: Sequence[Decision]) -> float:
        """F1 of all kept labels after the decisions."""
        return f1_of(corrected(self.photos, decisions), self.truth, self.ontology)


def compare(arms: Arms, kind: str, count: int, seeds: int) -> dict:
    """F1 before, after the queue's corrections, and after random ones."""
    decide = getattr(arms, kind)
    queue = decide(AUTO, count, 0)
    rows = [decide(RANDOM, count, seed) for seed in range(seeds)]
    f1, random = arms.f1(queue), [arms.f1(row) for row in rows]
    changed = [sum(one.action != "confirmed" for one in row) for row in rows]
    return {
        "kind": kind, "count": count, "before": arms.f1([]), "queue": f1,
        "queue_changes": sum(one.action != "confirmed" for one in queue),
        "random_mean": float(np.mean(random)), "random_changes": float(np.mean(changed)),
        "random_95": np.percentile(random, (2.5, 97.5)).tolist(),
    }  # fmt: skip


def in_a_copy(arms: Arms, decisions: Sequence[Decision], folder: Path) -> Workspace:
    """A copy of the workspace with these decisions; its labels are those that `corrected` gives."""
    shutil.copytree(arms.home.path, folder, ignore=shutil.ignore_patterns("evaluate", "report"))
    home = Workspace(folder)
    said = Decisions(home.path)
    for one in decisions:
        said.append(one)
    layer = chosen_labels(home, None).layer
    f1 = f1_of(list(layer.records()), arms.truth, arms.ontology)
    if f1 != arms.f1(decisions):
        raise RuntimeError(f"{layer.name}/ has F1 {f1}, not {arms.f1(decisions)}")
    return home


def retrained(arms: Arms, home: Workspace, validation: Path, config: Path) -> dict:
    """Train on the corrected labels; AP50 of both students on photos that nothing learned from."""
    train = load_pipeline(config, []).train
    engine = EngineConfig(device="cpu")
    train_student(
        home, train.model_copy(update={"name": NAME}), engine,
        say=lambda line: print(line, file=sys.stderr),
    )  # fmt: skip
    found = find_students(home, EvaluateConfig(truth=str(validation)), print)
    after, before = sorted(found, key=lambda one: one.weights.parent.name != NAME)[:2]
    truth = read_ground_truth(validation)
    with tempfile.TemporaryDirectory() as folder:
        photos = tuple(str(image.path) for image in truth.records)
        other = Workspace(Path(folder))
        ingest(other, IngestConfig(source=photos, near_bits=-1), engine)
        layers = [
            list(predict(other, one, arms.ontology, None, engine, silent).records())
            for one in (before, after)
        ]
    against, (old, new) = find_evaluation_set(layers, truth, arms.ontology, {})
    weights = draw(len(against.names), 2000, 0)
    made: list[Measurement] = [
        measure(objects, against, score_threshold=0.25, iou=IOU, weights=weights)
        for objects in (old, new)
    ]
    gain = differences(made[1], made[0], ("ap50",))["ap50"]
    return {
        "images": len(against.names), "before": before.name, "ap50_before": made[0].figures.ap50,
        "ap50_after": made[1].figures.ap50, "gain": gain.value, "interval": gain.interval,
        "epochs": train.epochs, "seed": train.seed,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--truth", type=Path, required=True, help="hand labels of its photos")
    parser.add_argument("--from", dest="layer")
    parser.add_argument("--images", type=int, default=30)
    parser.add_argument("--looks", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=20, help="random draws")
    parser.add_argument("--keep", type=Path, help="folder for the corrected copy")
    parser.add_argument("--how", default=AUTO, help="whose images are corrected in the copy")
    parser.add_argument("--train", action="store_true")
    parser.add_argument(
        "--validation", type=Path, default=Path("sample_data/blood_cells/validation")
    )
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    options = parser.parse_args()
    arms = Arms(Workspace(options.workspace), options.layer, read_ground_truth(options.truth))
    for kind in ("looks", "images"):
        print(json.dumps(compare(arms, kind, getattr(options, kind), options.seeds)), flush=True)
    if options.keep is None:
        return
    home = in_a_copy(arms, arms.images(options.how, options.images, 0), options.keep)
    if options.train:
        print(json.dumps(retrained(arms, home, options.validation, options.config)))


if __name__ == "__main__":
    main()
