"""The benchmark of planted errors, on a part of the validation photos."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from autolabel.config import FilterConfig
from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth
from tests.conftest import REPO, SAMPLE


@pytest.fixture(scope="module")
def benchmark() -> ModuleType:
    import sys

    spec = importlib.util.spec_from_file_location(
        "filter_errors", REPO / "benchmarks/filter_errors.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["filter_errors"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def truth() -> GroundTruth:
    whole = read_ground_truth(SAMPLE / "blood_cells/validation")
    return replace(whole, records=whole.records[::3])


def test_planted_errors_are_errors_and_scores_do_not_tell(
    benchmark: ModuleType, truth: GroundTruth
) -> None:
    planted = benchmark.Planter(truth, 0).plant()
    counts = {kind: sum(one.kind == kind for row in planted for one in row) for kind in
              ("correct", *benchmark.SHARES)}  # fmt: skip
    correct = sum(len(image.objects) for image in truth.records)
    assert counts == {
        "correct": correct,
        "random": round(0.2 * correct),
        "wrong class": round(0.1 * correct),
        "shifted": round(0.1 * correct),
    }
    for image, labels in zip(truth.records, planted, strict=True):
        for one in labels:
            same = image.objects.xyxy[image.objects.label == one.name].astype(float)
            best = benchmark.iou(one.box, same).max(initial=0)
            assert best == 1 if one.kind == "correct" else best < 0.4
    again = benchmark.Planter(truth, 0).plant()
    assert [[one.kind for one in row] for row in again] == [
        [one.kind for one in row] for row in planted
    ]


def test_the_samples_embedders_find_them(
    benchmark: ModuleType, truth: GroundTruth, tmp_path: Path
) -> None:
    models = SAMPLE / "models"
    config = FilterConfig(
        clip=str(models / "clip"),
        dinov2=str(models / "dinov2"),
        clip_margin=-0.8,
        dinov2_class=1.0,
        dinov2_distance=80,
    )
    result = benchmark.measure(truth, config, 0, tmp_path)
    assert result["survive_without_filter"] == result["labels"]
    assert result["errors_rejected"] >= 0.8
    assert result["correct_kept"] >= 0.95
