"""How far what a model finds in a photo moves with the photos beside it, for every kind of model.

    PYTHONPATH=. python benchmarks/batch_invariance.py

Each kind is a small checkpoint of random weights, as the tests build it; the photos are of twelve
sizes, from 1 × 1 to panoramas. Each photo is looked at by itself, then all in three orders in
batches of 3 and 8; the largest differences are printed. They are the rounding of floats: where a
batch has another size, or more threads share the work, sums are taken in another order.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from autolabel import registry
from autolabel.ontology import Ontology
from autolabel.testing.batches import BATCH_SIZES, apart, in_batches, orders, photos
from tests.models import checkpoints, checkpoints_embedders

ASKED = Ontology.from_prompts(["RBC=Red Blood Cell, red cell", "WBC=white blood cell", "cell"])


def main() -> None:
    table = Table("task", "kind", "found", "score or cosine", "box, pixels")
    with tempfile.TemporaryDirectory() as folder:
        for row in [*detectors(Path(folder)), *embedders(Path(folder))]:
            table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"{len(photos())} photos, batches of {BATCH_SIZES[1:]} against one by one")


def detectors(folder: Path) -> Iterator[tuple[str, ...]]:
    """Detectors, whose boxes must be equal in number, order and labels."""
    for kind, build in sorted(checkpoints.DETECTORS.items()):
        path = build(folder / (f"model{kind}" if kind.startswith(".") else kind))
        adapter = registry.load(registry.locate("detector", str(path)), "cpu")
        detect = partial(adapter.detect, ontology=ASKED, min_score=0.0)
        mixed = photos()
        alone = in_batches(detect, mixed, 1)
        worst = np.zeros(2)
        for size in BATCH_SIZES[1:]:
            for order in [list(range(len(mixed))), *orders(len(mixed))]:
                together = in_batches(detect, [mixed[i] for i in order], size)
                for i, found in zip(order, together, strict=True):
                    worst = np.maximum(worst, apart(alone[i], found))
        yield "detector", kind, str(sum(map(len, alone))), f"{worst[0]:.1e}", f"{worst[1]:.1e}"


def embedders(folder: Path) -> Iterator[tuple[str, ...]]:
    """Embedders; a difference of two unit vectors is as large as that of any cosine can be."""
    for task, builders in checkpoints_embedders.BUILDERS.items():
        for kind, build in sorted(builders.items()):
            adapter = registry.load(registry.locate(task, str(build(folder / task / kind))), "cpu")
            crops = photos()
            alone = np.concatenate([adapter.embed_images([crop]) for crop in crops])
            worst = 0.0
            for size in BATCH_SIZES[1:]:
                for order in [list(range(len(crops))), *orders(len(crops))]:
                    found = in_batches(adapter.embed_images, [crops[i] for i in order], size)
                    apart = np.linalg.norm(np.stack(found) - alone[order], axis=1).max()
                    worst = max(worst, float(apart))
            yield task, kind, str(len(crops)), f"{worst:.1e}", ""


if __name__ == "__main__":
    main()
