"""Photos with objects, and a detector that finds most of them: all of it drawn at random."""

from __future__ import annotations

import numpy as np

from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.types import Objects

NAMES = ("cat", "dog", "owl")


def simulate(
    seed: int, images: int, *, found_share: float = 0.8, jitter: float = 2.0
) -> tuple[EvaluationSet, list[Objects]]:
    """Hand labels, and what a detector finds: right ones, some displaced, and wrong ones.

    Images differ in how hard they are, as photos do.
    """
    rng = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(images):
        n = int(rng.integers(2, 9))
        boxes = rng.uniform(0, 400, (n, 2))
        boxes = np.concatenate([boxes, boxes + rng.uniform(15, 120, (n, 2))], axis=1)
        names = rng.choice(NAMES, n).tolist()
        truth.append(Objects.create(names, np.ones(n), boxes))
        seen = rng.random(n) < found_share * rng.uniform(0.7, 1.2)
        right = boxes[seen] + rng.normal(0, jitter, (int(seen.sum()), 4))
        wrong = rng.uniform(0, 400, (int(rng.integers(0, 4)), 2))
        wrong = np.concatenate([wrong, wrong + 50], axis=1)
        labels = [x for x, s in zip(names, seen, strict=True) if s]
        labels += rng.choice(NAMES, len(wrong)).tolist()
        scores = np.concatenate([rng.beta(4, 2, len(right)), rng.beta(2, 4, len(wrong))])
        found.append(Objects.create(labels, scores, np.concatenate([right, wrong])))
    flags = tuple(np.zeros(len(o), bool) for o in truth)
    names_ = tuple(f"{i}.jpg" for i in range(images))
    sides = ((640, 640),) * images
    return EvaluationSet(NAMES, (), tuple(truth), flags, names_, names_, sides), found
