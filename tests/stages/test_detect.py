from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from autolabel.config import DetectConfig, EngineConfig, IngestConfig
from autolabel.models.base import NEGATIVE
from autolabel.stages.detect import Detect, detect, select
from autolabel.stages.ingest import ingest
from autolabel.store import Workspace
from autolabel.types import Objects, Record
from tests.conftest import make_photos


def chosen(
    boxes: list[tuple[str, float, list[float]]], nms_iou: float = 0.5, **thresholds: float
) -> list[tuple[str, float]]:
    labels, scores, xyxy = zip(*boxes, strict=True)
    found = Objects.create(labels, scores, xyxy)
    limits = {"cat": 0.3, "dog": 0.3, **thresholds}
    kept = select(found, limits, nms_iou, 100, 50)
    return [(label, round(float(s), 2)) for label, s in zip(kept.label, kept.score, strict=True)]


A, NEAR_A, FAR = [10, 10, 30, 30], [11, 10, 31, 30], [60, 10, 80, 30]


@pytest.mark.parametrize(
    ("boxes", "options", "expected"),
    [
        # thresholds, one of them a class's own; equal to the threshold is enough
        (
            [("cat", 0.3, A), ("cat", 0.29, FAR), ("dog", 0.35, FAR)],
            {"dog": 0.4},
            [("cat", 0.3)],
        ),
        # overlaps within a class go, between classes stay; best first
        (
            [("cat", 0.5, A), ("cat", 0.9, NEAR_A), ("dog", 0.6, A)],
            {},
            [("cat", 0.9), ("dog", 0.6)],
        ),
        # suppression off
        ([("cat", 0.5, A), ("cat", 0.9, A)], {"nms_iou": 1.0}, [("cat", 0.9), ("cat", 0.5)]),
        # a negative takes the boxes under it that score lower, and is gone itself
        (
            [("cat", 0.5, A), (NEGATIVE, 0.8, NEAR_A), ("dog", 0.9, A), ("cat", 0.4, FAR)],
            {},
            [("dog", 0.9), ("cat", 0.4)],
        ),
        # outside the image nothing is left
        ([("cat", 0.9, [100, 0, 120, 20]), ("cat", 0.8, [-9, 0, 0, 20])], {}, []),
    ],
)
def test_select(boxes: list, options: dict, expected: list) -> None:
    assert chosen(boxes, **options) == expected


def test_boxes_are_clipped_to_the_image() -> None:
    found = Objects.create(["cat"], [0.9], [[-3, -4, 120, 20.5]])
    assert select(found, {"cat": 0.3}, 0.5, 100, 50).xyxy.tolist() == [[0, 0, 100, 20.5]]


def test_nothing_found() -> None:
    assert len(select(Objects.empty(), {"cat": 0.3}, 0.5, 100, 50)) == 0


def test_evidence_stays_with_its_box() -> None:
    found = Objects.create(
        ["cat", "cat"],
        np.array([0.4, 0.9]),
        [A, FAR],
        prompt=["kitten", "cat"],
        scores=[{"detector": 0.4}, {"detector": 0.9}],
    )
    kept = select(found, {"cat": 0.3}, 0.5, 100, 50)
    assert kept.prompt.tolist() == ["cat", "kitten"]
    assert [s["detector"] for s in kept.scores] == [0.9, 0.4]


def test_equal_scores_are_decided_by_the_boxes_alone() -> None:
    rng = np.random.default_rng(0)
    boxes = np.round(rng.uniform(0, 12, (40, 4)))
    boxes[:, 2:] += boxes[:, :2] + 8
    labels = ["cat", "dog"] * 20
    found = Objects.create(labels, np.full(40, 0.5), boxes)
    expected = select(found, {}, 0.5, 64, 64)
    assert 2 < len(expected) < 40
    for seed in range(5):
        shuffled = found[np.random.default_rng(seed).permutation(40)]
        assert select(shuffled, {}, 0.5, 64, 64) == expected


def test_the_batch_size_follows_the_model_unless_one_is_named(
    detector: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = tmp_path / "photos"
    make_photos(photos / "wide", 9, (64, 48))
    make_photos(photos / "tall", 3, (48, 64))
    workspace = Workspace(tmp_path / "ws")
    ingest(workspace, IngestConfig(source=(str(photos),)), EngineConfig())
    sizes: list[int] = []
    call = Detect.__call__

    def counted(self: Detect, batch: Sequence[Record]) -> list[Record]:
        assert len({(record.width, record.height) for record in batch}) == 1
        sizes.append(len(batch))
        return call(self, batch)

    monkeypatch.setattr(Detect, "__call__", counted)
    config = DetectConfig(model=str(detector), prompt=("cell",))
    found = {}
    for asked, expected in ((0, [3, 8, 1]), (2, [2, 1, 2, 2, 2, 2, 1])):
        layer = detect(workspace, config, EngineConfig(batch_size=asked), overwrite=True).layer
        assert sizes == expected, "tall photos come first, by name"
        found[asked] = [record.objects.label.tolist() for record in layer.records()]
        layer.shard_path(0).unlink()
        sizes.clear()
    assert found[0] == found[2]
