"""What every registered detector must do, whatever its family; a new one is tested by existing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from autolabel import registry
from autolabel.models.base import Batching
from autolabel.ontology import Ontology
from autolabel.testing.batches import blobs
from autolabel.testing.detector import (
    CLASSES,
    DETECTOR_CHECKS,
    WITH_NEGATIVES,
    as_promised,
    weighed_by,
)
from autolabel.types import Objects
from tests.models.checkpoints import DETECTORS, UNSCORED

ELSEWHERE = {".pth"}
"""An original file becomes a grounding-dino folder; `test_grounding_dino_original` has the rest."""


@pytest.fixture(scope="module", params=sorted({*registry.ADAPTERS["detector"]} - ELSEWHERE))
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    assert kind in DETECTORS, f"tests/models/checkpoints.py builds no {kind} checkpoint"
    name = f"model{kind}" if kind.startswith(".") else kind
    return DETECTORS[kind](tmp_path_factory.mktemp("models") / name)


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Any:
    return registry.load(registry.locate("detector", str(checkpoint)), "cpu")


@pytest.fixture
def asked(kind: str) -> Ontology:
    """Classes that share words, with negatives where the kind can weigh them."""
    return CLASSES if kind in UNSCORED else WITH_NEGATIVES


@pytest.mark.parametrize("check", DETECTOR_CHECKS, ids=lambda check: check.__name__)
def test_the_contract(check: Callable[[Any], None], adapter: Any) -> None:
    check(adapter)


def test_negatives_are_weighed_unless_the_kind_has_no_scores(adapter: Any, asked: Ontology) -> None:
    assert weighed_by(adapter) == asked


def test_it_is_found_by_name_as_by_folder(
    kind: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if checkpoint.is_file():
        located = registry.locate("detector", str(checkpoint))
        assert registry.locate("detector", located.reference()).identity() == located.identity()
        return
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub_id, commit = f"someone/{kind}", "c" * 40
    home = tmp_path / f"models--someone--{kind}"
    shutil.copytree(checkpoint, home / "snapshots" / commit)
    (home / "refs").mkdir()
    (home / "refs" / "main").write_text(commit, "utf-8")
    entry = registry.Registered("detector", hub_id, "Apache-2.0")
    monkeypatch.setattr(registry, "registered", lambda: {f"small-{kind}": entry})
    located = registry.locate("detector", f"small-{kind}", fetch=False)
    assert (located.name, located.revision) == (hub_id, commit)
    photo = blobs(60, 40)
    (by_name,) = registry.load(located, "cpu").detect([photo], CLASSES, 0.0)
    (by_folder,) = registry.load(registry.locate("detector", str(checkpoint)), "cpu").detect(
        [photo], CLASSES, 0.0
    )
    assert by_name == by_folder
    assert len(by_name)


def test_a_score_that_no_box_reaches_leaves_none(kind: str, adapter: Any, asked: Ontology) -> None:
    (found,) = adapter.detect([blobs(60, 40)], asked, 1.0)
    if kind in UNSCORED:
        assert (found.score == 1).all()
        assert not any("detector" in scores for scores in found.scores)
    else:
        assert found == Objects.empty()


def test_photos_of_one_input_size_are_told_ahead(adapter: Any, asked: Ontology) -> None:
    """What the engine puts together by width and height, the adapter takes in one pass."""
    if not isinstance(adapter, Batching):
        pytest.skip("its input has one size")
    sizes = [(60, 40), (120, 80), (40, 60), (97, 61), (194, 122), (30, 20)]
    passes: list[int] = []
    network = adapter.model if hasattr(adapter, "model") else adapter.network
    count = network.register_forward_pre_hook(lambda *_: passes.append(1))
    adapter.detect([blobs(*size) for size in sizes], asked, 0.0)
    count.remove()
    assert len(passes) == len({adapter.input_size(*size) for size in sizes})
    assert len(passes) < len(sizes)


def devices() -> list[Any]:
    gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
    return [
        pytest.param("cpu", torch.bfloat16),
        pytest.param("cuda", torch.float32, marks=gpu),
        pytest.param("cuda", torch.bfloat16, marks=gpu),
    ]


@pytest.mark.parametrize(("device", "dtype"), devices())
def test_other_devices_and_half_precision(
    checkpoint: Path,
    adapter: Any,
    asked: Ontology,
    device: str,
    dtype: torch.dtype,
) -> None:
    there = registry.load(registry.locate("detector", str(checkpoint)), device)
    half = dtype is torch.bfloat16
    with torch.autocast(device, dtype, enabled=half):
        (found,) = there.detect([blobs(60, 40)], asked, 0.0)
    as_promised(found, asked, 60, 40)
    (expected,) = adapter.detect([blobs(60, 40)], asked, 0.0)
    if not half:
        np.testing.assert_allclose(np.sort(found.score), np.sort(expected.score), atol=1e-3)
