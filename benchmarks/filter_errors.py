"""How many planted errors the filter finds, and how many correct labels it keeps.

    python benchmarks/filter_errors.py --config configs/demo.yaml \
        --truth sample_data/blood_cells/validation

To the correct hand labels are added, by seed: 20 % boxes at random places, 10 % copies with another
class, 10 % copies shifted far off (IoU 0.1 to 0.4 with what they were). A random box has the class
and the size of some label of its photo. Scores are drawn alike for all, so that none tells, and the
labels of a photo are shuffled. The filter then runs as on any other labels; what it learns over the
layer, it learns with the errors in it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from autolabel.config import EngineConfig, FilterConfig, IngestConfig, load_pipeline
from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth
from autolabel.ontology import Ontology
from autolabel.stages import filter as filtering
from autolabel.stages.filter import active
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects, Record

CORRECT = "correct"
SHARES = {"random": 0.2, "wrong class": 0.1, "shifted": 0.1}
"""Kind of error -> how many are planted, for each correct label."""

BAD_IOU = 0.4
"""A planted box overlaps every correct label of its class by less."""

SHIFTED_IOU = (0.1, BAD_IOU)
TRIES = 10_000


@dataclass(frozen=True)
class Label:
    """One label of an image: class, box xyxy, and `CORRECT` or a kind of error."""

    name: str
    box: np.ndarray
    kind: str


def iou(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Overlap of one box with each of (n, 4)."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(1)
    return shared / ((box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared)


class Planter:
    """Adds errors to the correct labels of images, by seed."""

    def __init__(self, truth: GroundTruth, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.names = truth.names
        self.sizes_wh = [(image.width, image.height) for image in truth.records]
        self.labels = [
            [
                Label(str(name), np.asarray(box, float), CORRECT)
                for name, box in zip(image.objects.label, image.objects.xyxy, strict=True)
            ]
            for image in truth.records
        ]
        self.correct = [(i, label) for i, labels in enumerate(self.labels) for label in labels]

    def plant(self) -> list[list[Label]]:
        """The labels of each image, shuffled, the errors among them."""
        makers = {"random": self._random, "wrong class": self._renamed, "shifted": self._shifted}
        planted = [list(labels) for labels in self.labels]
        for kind, share in SHARES.items():
            for _ in range(round(share * len(self.correct))):
                image, label = self._try(makers[kind])
                planted[image].append(replace(label, kind=kind))
        return [[labels[j] for j in self.rng.permutation(len(labels))] for labels in planted]

    def _try(self, make) -> tuple[int, Label]:
        for _ in range(TRIES):
            image, source = self.correct[self.rng.integers(len(self.correct))]
            label = make(image, source)
            if label is not None and self._is_wrong(image, label):
                return image, label
        raise RuntimeError("no place for an error was found")

    def _is_wrong(self, image: int, label: Label) -> bool:
        same = [one.box for one in self.labels[image] if one.name == label.name]
        return not same or iou(label.box, np.stack(same)).max() < BAD_IOU

    def _random(self, image: int, source: Label) -> Label:
        image_wh = np.array(self.sizes_wh[image], float)
        size = np.minimum(source.box[2:] - source.box[:2], image_wh - 1)
        corner = self.rng.uniform(0, image_wh - size)
        return Label(source.name, np.concatenate([corner, corner + size]), "")

    def _renamed(self, image: int, source: Label) -> Label:
        others = [name for name in self.names if name != source.name]
        return Label(str(self.rng.choice(others)), source.box, "")

    def _shifted(self, image: int, source: Label) -> Label | None:
        sides = source.box[2:] - source.box[:2]
        moved = source.box + np.tile(self.rng.uniform(-0.9, 0.9, 2) * sides, 2)
        moved = np.clip(moved, 0, np.tile(self.sizes_wh[image], 2))
        if (moved[2:] - moved[:2]).min() < 4:
            return None
        low, high = SHIFTED_IOU
        overlap = iou(moved, source.box[None])[0]
        return Label(source.name, moved, "") if low <= overlap < high else None


def planted_workspace(
    folder: Path, truth: GroundTruth, seed: int
) -> tuple[Workspace, dict[str, list[str]]]:
    """A workspace whose layer `detect` holds correct and planted labels; the kind of each label."""
    workspace = Workspace(folder)
    photos = tuple(str(image.path) for image in truth.records if image.path is not None)
    images = ingest(workspace, IngestConfig(source=photos, near_bits=-1), EngineConfig()).layer
    labels = Planter(truth, seed).plant()
    by_id = {image.image_id: labels[i] for i, image in enumerate(truth.records)}
    kinds = {str(i): [one.kind for one in rows] for i, rows in by_id.items()}
    ontology = Ontology({name: (name,) for name in truth.names})
    manifest = Manifest(stage="detect", settings={"ontology": ontology.to_mapping(), "seed": seed})
    digests = {index: images.digest(index) for index in images.shards()}
    update = workspace.plan_update("detect", bound_to(manifest, images), digests, overwrite=False)
    layer = update.begin()
    rng = np.random.default_rng(seed + 1)
    for index in images.shards():
        records = [
            replace(record, objects=_objects(by_id[record.image_id], rng))
            for record in images.read(index)
        ]
        layer.write(index, records, digests[index])
    update.finish()
    return workspace, kinds


def _objects(labels: Sequence[Label], rng: np.random.Generator) -> Objects:
    return Objects.create(
        [one.name for one in labels],
        rng.uniform(0.5, 1.0, len(labels)),
        np.array([one.box for one in labels]).reshape(-1, 4),
    )


def count(records: Sequence[Record], kinds: dict[str, list[str]]) -> dict[str, Counter[str]]:
    """Rule (empty: kept) -> kind of label -> how many."""
    found: dict[str, Counter[str]] = {}
    for record in records:
        objects = record.objects
        for kind, reason in zip(kinds[record.image_id], objects.reason, strict=True):
            rule = "" if reason is None else reason.partition(":")[0]
            found.setdefault(rule, Counter())[kind] += 1
    return found


def measure(truth: GroundTruth, config: FilterConfig, seed: int, folder: Path) -> dict:
    """Plant, filter and count; `survive` are the planted errors that no filter would leave."""
    workspace, kinds = planted_workspace(folder, truth, seed)
    engine = EngineConfig(device="cpu")
    none = filtering.filter_labels(workspace, FilterConfig(), engine).layer
    unfiltered = count(list(none.records()), kinds)
    layer = filtering.filter_labels(workspace, config, engine, overwrite=True).layer
    records = list(layer.records())
    found = count(records, kinds)
    total = Counter(kind for rows in kinds.values() for kind in rows)
    kept = found.get("", Counter())
    errors = sum(total[kind] for kind in SHARES)
    left = sum(kept[kind] for kind in SHARES)
    by_class: dict[str, list[int]] = {}
    for record in records:
        for kind, name, keep in zip(
            kinds[record.image_id], record.objects.label, record.objects.keep, strict=True
        ):
            if kind == CORRECT:
                row = by_class.setdefault(str(name), [0, 0])
                row[0] += int(keep)
                row[1] += 1
    return {
        "labels": dict(total),
        "survive_without_filter": {k: unfiltered.get("", Counter())[k] for k in total},
        "rejected": {rule: dict(found[rule]) for rule in active(config) if rule in found},
        "kept": dict(kept),
        "errors_rejected": (errors - left) / errors,
        "correct_kept": kept[CORRECT] / total[CORRECT],
        "correct_kept_by_class": {name: kept / of for name, (kept, of) in by_class.items()},
    }


def show(result: dict, console: Console) -> None:
    """One row per rule, one column per kind of label."""
    kinds = [CORRECT, *SHARES]
    table = Table("", *kinds)
    for title, key in (("labels", "labels"), ("kept without filter", "survive_without_filter")):
        table.add_row(title, *(str(result[key].get(k, 0)) for k in kinds))
    table.add_section()
    for rule, row in result["rejected"].items():
        table.add_row(f"rejected by {rule}", *(str(row.get(k, 0)) for k in kinds))
    table.add_section()
    lost = [1 - result["kept"].get(k, 0) / result["labels"][k] for k in kinds]
    table.add_row("rejected in all", *(f"{share:.1%}" for share in lost))
    console.print(table)
    classes = ", ".join(f"{n} {s:.1%}" for n, s in result["correct_kept_by_class"].items())
    console.print(
        f"planted errors rejected: {result['errors_rejected']:.1%}; "
        f"correct labels kept: {result['correct_kept']:.1%} ({classes})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", type=Path, default=Path("configs/demo.yaml"))
    parser.add_argument("--truth", type=Path, default=Path("sample_data/blood_cells/validation"))
    parser.add_argument("--set", action="append", default=[], help="filter.KEY=VALUE")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    config = load_pipeline(options.config, options.set).filter or FilterConfig()
    truth = read_ground_truth(options.truth)
    console = Console()
    for seed in options.seed:
        with tempfile.TemporaryDirectory() as folder:
            result = measure(truth, config, seed, Path(folder))
        if options.json:
            print(json.dumps(result, indent=2))
        else:
            console.print(f"{options.truth}, seed {seed}")
            show(result, console)


if __name__ == "__main__":
    main()
