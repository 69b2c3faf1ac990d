"""How many label errors the queue's first images hold, beside as many random ones.

    python benchmarks/review_queue.py runs/demo --truth sample_data/blood_cells/reference.json

Beside it, how many of the first labels of the review page's queue are wrong. Nothing but this
script reads the hand labels. A label error is a kept label without an object
(spurious), an object without a label (overlooked), a label of the wrong class (swapped) or one that
overlaps its object by less than 0.5 (badly located). Where people left objects out of the hand
labels, a right label counts as spurious.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
from label_errors import KINDS, LabelError, label_errors
from rich.console import Console
from rich.table import Table

from autolabel.config import EngineConfig
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.truth_match import match_truth
from autolabel.review.queue import AUTO, DISAGREE, RARE, UNCERTAIN, ranked, ranked_images
from autolabel.review.student import ask_student
from autolabel.stages.labels import chosen_labels
from autolabel.store import Layer, Workspace

Wrong = set[tuple[str, int]]


def errors_of(layer: Layer, truth: Path) -> dict[str, list[LabelError]]:
    """Image -> what is wrong with its labels."""
    matched = match_truth(layer.records(), read_ground_truth(truth))
    return {
        record.image_id: label_errors(record.objects.kept, hand.objects, hand.ignore)
        for record, hand in matched.pairs
    }


def wrong_places(workspace: Workspace, layer: Layer, how: str, most: int, wrong: Wrong) -> int:
    """How many of a queue's first places are wrong kept labels."""
    looks = ranked(workspace, layer, how, most)
    return sum((one.image_id, one.index) in wrong for one in looks if one.index is not None)


def wrong_labels(layer: Layer, errors: dict[str, list[LabelError]]) -> tuple[Wrong, int]:
    """The kept labels that are wrong, by image and place in its row; how many labels there are."""
    wrong: Wrong = set()
    labels = 0
    for record in layer.records():
        if record.image_id in errors:
            kept = np.flatnonzero(record.objects.keep)
            labels += len(kept)
            found = [one.label for one in errors[record.image_id] if one.label is not None]
            wrong |= {(record.image_id, int(kept[at])) for at in found}
    return wrong, labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--truth", type=Path, required=True)
    parser.add_argument("--from", dest="layer")
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--places", type=int, default=100)
    parser.add_argument("--half", choices=("even", "odd"), help="of the images, by their id")
    parser.add_argument("--student", action="store_true", help="let the student look at the pool")
    parser.add_argument("--draws", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    layer = chosen_labels(workspace, options.layer).layer
    if options.student:
        ask_student(workspace, layer, EngineConfig(device="cpu"), say=print)
    errors = errors_of(layer, options.truth)
    if options.half:
        parity = ("even", "odd").index(options.half)
        errors = {name: e for name, e in errors.items() if int(name[0], 16) % 2 == parity}
    counts = {name: len(found) for name, found in errors.items()}
    rng = np.random.default_rng(options.seed)
    values = np.array(list(counts.values()))
    n = min(options.images, len(values))
    draws = np.array([rng.choice(values, n, replace=False).sum() for _ in range(options.draws)])
    most = int(np.sort(values)[::-1][:n].sum())
    wrong, labels = wrong_labels(layer, errors)
    rows = {}
    for how in (AUTO, UNCERTAIN, DISAGREE, RARE):
        limit = None if options.half else n + len(layer) - len(counts)
        queue = [one.image_id for one in ranked_images(workspace, layer, how, limit)]
        first = [name for name in queue if name in counts][:n]
        found = sum(counts[name] for name in first)
        low, high = np.percentile(found / draws, (2.5, 97.5))
        rows[how] = {
            "errors": found,
            "ratio": found / draws.mean(),
            "against_95_of_100_draws": [low, high],
            "draws_beaten": float((draws < found).mean()),
            "wrong_places": wrong_places(workspace, layer, how, options.places, wrong),
        }
    kinds = Counter(one.kind for found in errors.values() for one in found)
    result = {
        "images": len(counts), "looked_at": n, "errors": int(values.sum()),
        "kinds": {kind: kinds[kind] for kind in KINDS}, "random": float(draws.mean()),
        "most_possible": most, "queues": rows, "places": options.places,
        "wrong_of_random_places": options.places * len(wrong) / max(labels, 1),
    }  # fmt: skip
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        show(result, Console())


def show(result: dict, console: Console) -> None:
    """One row per queue."""
    console.print(
        f"{result['images']} images with {result['errors']} label errors: "
        + ", ".join(f"{count} {kind}" for kind, count in result["kinds"].items())
    )
    table = Table(
        "queue",
        f"errors in its first {result['looked_at']}",
        "times random",
        "beats",
        f"wrong of {result['places']} labels",
    )
    for how, row in result["queues"].items():
        low, high = row["against_95_of_100_draws"]
        ratio = f"{row['ratio']:.2f} ({low:.2f} to {high:.2f})"
        beats, places = f"{row['draws_beaten']:.1%} of draws", str(row["wrong_places"])
        table.add_row(how, str(row["errors"]), ratio, beats, places)
    places = f"{result['wrong_of_random_places']:.1f}"
    table.add_row("random, mean of draws", f"{result['random']:.1f}", "1", "", places)
    best = result["most_possible"]
    table.add_row("most that there are", str(best), f"{best / result['random']:.2f}", "", "")
    console.print(table)


if __name__ == "__main__":
    main()
