"""The queue on the sample: wrong labels come first, and nothing has told it which those are.

`benchmarks/review_queue.py` measures the same on the whole demo, with what is random beside it.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.truth_match import match_truth
from autolabel.metrics.matching import counts_per_image, match_boxes
from autolabel.ops.pairs import one_to_one, overlapping
from autolabel.review.queue import ranked, ranked_images
from autolabel.store import Workspace
from autolabel.types import Objects
from tests.conftest import SAMPLE, Run

pytestmark = pytest.mark.slow

CELLS = SAMPLE / "blood_cells"
PROMPTS = ("red blood cell", "white blood cell", "platelet")


def test_wrong_labels_come_first(run: Run, tmp_path: Path, detector: Path) -> None:
    home = Workspace(tmp_path / "ws")
    asked = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
    detected = run(
        "detect", CELLS / "unlabeled", "-w", home.path, "--model", detector, *asked,
        "--box-threshold", "0.3", "--nms-iou", "0.6",
    )  # fmt: skip
    assert detected.status == 0, detected.err
    filtered = run(
        "filter", home.path, "--clip", SAMPLE / "models/clip", "--dinov2", SAMPLE / "models/dinov2",
        "--clip-margin", "-0.8", "--dinov2-class", "1", "--inside", "0.95",
    )  # fmt: skip
    assert filtered.status == 0, filtered.err
    layer = home.layer("filter")
    pairs = match_truth(layer.records(), read_ground_truth(CELLS / "reference.json")).pairs
    assert len(pairs) == 87
    found, hand = [r.objects.kept for r, _ in pairs], [image.objects for _, image in pairs]
    ignore = [image.ignore for _, image in pairs]
    matched = match_boxes(found, hand, ignore, PROMPTS, 0.5, 10_000)
    counts = sum(counts_per_image(one) for one in matched)[:, 1:].sum(axis=1)
    errors = {record.image_id: int(n) for (record, _), n in zip(pairs, counts, strict=True)}
    first = [errors[image.image_id] for image in ranked_images(home, layer, limit=20)]
    assert np.mean(first) >= 1.3 * np.mean([*errors.values()])
    wrong = {record.image_id: wrong_in(record.objects, image.objects) for record, image in pairs}
    looks = [look for look in ranked(home, layer, limit=100) if look.keep]
    share = sum(map(len, wrong.values())) / sum(map(len, found))
    assert np.mean([look.index in wrong[look.image_id] for look in looks]) >= 2 * share


def wrong_in(labels: Objects, hand: Objects) -> set[int]:
    """Places of the kept labels that lie on no hand label of their class."""
    i, j, iou = overlapping(labels.xyxy, hand.xyxy, 0.5)
    same = (labels.label[i] == hand.label[j]) & labels.keep[i]
    right = {a for a, _ in one_to_one(i[same], j[same], iou[same])}
    return set(np.flatnonzero(labels.keep).tolist()) - right
