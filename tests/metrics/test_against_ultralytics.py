"""Our AP beside that of the library that trains the students, on the same predictions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco

from autolabel.metrics.figures import figures_of, match
from autolabel.metrics.matching import COCO_IOUS
from autolabel.types import Objects
from tests.metrics.simulated import NAMES, simulate


def their_hits(found: list[Objects], labels: list[Objects]) -> np.ndarray:
    """(predictions, thresholds): what COCO's matching calls a hit, written out anew."""
    rows = []
    for objects, real in zip(found, labels, strict=True):
        hits = np.zeros((len(objects), len(COCO_IOUS)), bool)
        overlap = np.zeros((len(objects), len(real)))
        if len(objects) and len(real):
            sides = [np.column_stack([o.xyxy[:, :2], o.xyxy[:, 2:] - o.xyxy[:, :2]]) for o in
                     (objects, real)]  # fmt: skip
            overlap = coco.iou(*(s.astype(float) for s in sides), [0] * len(real))
        overlap = overlap * (objects.label[:, None] == real.label[None])
        for t, threshold in enumerate(COCO_IOUS):
            free = np.ones(len(real), bool)
            for i in np.argsort(-objects.score, kind="stable"):
                if free.any() and (best := (overlap[i] * free)).max() >= threshold:
                    hits[i, t] = True
                    free[best.argmax()] = False
        rows.append(hits)
    return np.concatenate(rows)


@pytest.mark.parametrize("seed", range(3))
def test_ap_is_that_of_ultralytics(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))  # it writes settings when imported
    from ultralytics.utils.metrics import ap_per_class

    photos, found = simulate(seed, images=150)
    ids = {name: i for i, name in enumerate(NAMES)}
    scores = np.concatenate([o.score for o in found])
    ap = ap_per_class(
        their_hits(found, list(photos.truth)),
        scores,
        np.array([ids[x] for o in found for x in o.label]),
        np.array([ids[x] for o in photos.truth for x in o.label]),
    )[5]
    ours = figures_of(match(found, photos, 0.5, 0.0), np.ones((1, 150), int))
    assert 0.3 < ours["ap"][0] < 0.9  # neither empty nor perfect
    assert ours["ap50"][0] == pytest.approx(ap[:, 0].mean(), abs=0.005)
    assert ours["ap75"][0] == pytest.approx(ap[:, 5].mean(), abs=0.005)
    assert ours["ap"][0] == pytest.approx(ap.mean(), abs=0.005)
