"""What a pipeline reads ahead, it reads once; what it measures on, its student does not learn."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from autolabel.config import PipelineConfig, build
from autolabel.evaluate import entries
from autolabel.pipeline import checks, products
from autolabel.pipeline.run import run_pipeline
from autolabel.stages import leak_guard
from tests.conftest import make_photos
from tests.evaluate.scene import AWAY, BOX, write_truth


@pytest.fixture
def held_out(tmp_path: Path) -> list[Path]:
    photos = make_photos(tmp_path / "all", 6)
    (tmp_path / "test").mkdir()
    held = [path.rename(tmp_path / "test" / path.name) for path in photos[4:]]
    write_truth(tmp_path / "test", held, {"cat": BOX, "dog": AWAY})
    return held


@pytest.fixture
def pipeline(tmp_path: Path, held_out: list[Path], random_detector: Path) -> dict[str, Any]:
    return {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": str(tmp_path / "all"), "holdout": str(held_out[0].parent)},
        "detect": {"model": str(random_detector), "prompt": ["cat", "dog"], "box_threshold": 0.1},
        "evaluate": {"truth": str(held_out[0].parent), "bootstrap": 10},
    }


def test_hand_labels_and_held_out_photos_are_read_once(
    pipeline: dict[str, Any], held_out: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    labels: Counter[Path] = Counter()
    photos: Counter[Path] = Counter()
    read_labels, read_photo = checks.read_hand_labels, leak_guard.read_bytes
    for module in (checks, products, entries):
        monkeypatch.setattr(
            module, "read_hand_labels", lambda p: labels.update([p]) or read_labels(p)
        )
    monkeypatch.setattr(leak_guard, "read_bytes", lambda p: photos.update([p]) or read_photo(p))
    result = run_pipeline(build(PipelineConfig, pipeline, flags=False))
    assert result.steps["evaluate"].images == len(held_out)
    assert labels == {held_out[0].parent: 1}
    assert photos == dict.fromkeys(held_out, 1)
    labels.clear()
    assert run_pipeline(build(PipelineConfig, pipeline, flags=False)).steps["detect"].images == 0
    assert labels == {held_out[0].parent: 1}


def test_the_student_learns_from_no_photo_that_it_is_measured_on(
    pipeline: dict[str, Any], held_out: list[Path]
) -> None:
    def recipe(**train: Any) -> Any:
        config = build(PipelineConfig, {**pipeline, "train": train}, flags=False)
        return checks.recipe_of(config, checks.HandLabels(config))

    assert recipe().holdout == tuple(map(str, held_out))
    assert recipe(holdout="others").holdout == ("others", *map(str, held_out))
    del pipeline["evaluate"]
    assert recipe().holdout == ()
