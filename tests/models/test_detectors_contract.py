"""What every registered detector must do, whatever its family; a new one is tested by existing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autolabel import registry
from autolabel.models.base import NEGATIVE, Batching
from autolabel.ontology import Ontology
from autolabel.ops.images import content_id
from autolabel.stages.detect import select
from autolabel.stages.pixels import with_pixels
from autolabel.types import Objects, Record
from tests.models.batches import (
    BATCH_SIZES,
    BOXES_WITHIN,
    SCORES_WITHIN,
    apart,
    in_batches,
    orders,
    photos,
)
from tests.models.checkpoints import DETECTORS, UNSCORED

CLASSES = Ontology.from_prompts(
    ["RBC=Red Blood Cell, red cell", "WBC=white blood cell", "cell", "cat"]
)
WITH_NEGATIVES = Ontology(CLASSES.classes, ("smudge", "black smudge"))

Photo = np.ndarray


def blobs(width: int, height: int, seed: int = 0) -> Photo:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


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


@pytest.fixture
def labels_of(asked: Ontology) -> Callable[[Objects], None]:
    """Checks one image's objects against everything that a detector promises."""

    def check(found: Objects, width: int, height: int) -> None:
        assert set(found.label) <= {*asked.names, NEGATIVE}
        owner = {prompt: name or NEGATIVE for name, prompt in asked.pairs()}
        assert set(found.prompt) <= set(owner), "a prompt is not spelled as it was asked for"
        assert [owner[prompt] for prompt in found.prompt] == list(found.label)
        assert found.xyxy.dtype == found.score.dtype == np.float32
        assert np.isfinite(found.xyxy).all()
        assert np.isfinite(found.score).all()
        assert ((found.score >= 0) & (found.score <= 1)).all()
        kept = select(found, dict.fromkeys(asked.names, 0.0), 1.0, width, height)
        assert (kept.xyxy >= 0).all()
        assert (kept.xyxy[:, [0, 2]] <= width).all()
        assert (kept.xyxy[:, [1, 3]] <= height).all()

    return check


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


@pytest.mark.parametrize("size", [(1, 1), (10, 200), (200, 10), (97, 61)])
def test_odd_sizes(
    adapter: Any, asked: Ontology, labels_of: Callable[..., None], size: tuple[int, int]
) -> None:
    (found,) = adapter.detect([blobs(*size)], asked, 0.0)
    labels_of(found, *size)


def test_a_grey_photo(
    adapter: Any, asked: Ontology, labels_of: Callable[..., None], tmp_path: Path
) -> None:
    Image.fromarray(blobs(70, 50)).convert("L").save(tmp_path / "grey.png")
    name = content_id((tmp_path / "grey.png").read_bytes())
    photo = with_pixels(Record(name, "grey.png"), tmp_path).image()
    assert photo.shape == (50, 70, 3)
    (found,) = adapter.detect([photo], asked, 0.0)
    labels_of(found, 70, 50)


def test_forty_classes(kind: str, adapter: Any) -> None:
    animals = Ontology.from_prompts([f"animal {i}" for i in range(40)])
    (found,) = adapter.detect([blobs(60, 40)], animals, 0.0)
    assert set(found.label) <= set(animals.names)
    assert len(found)
    if kind not in UNSCORED:
        assert len(set(found.label)) > 1, "one class takes every box"


def test_classes_that_share_words_and_negatives(
    adapter: Any, asked: Ontology, labels_of: Callable[..., None]
) -> None:
    found = adapter.detect([blobs(60, 40, seed) for seed in range(4)], asked, 0.0)
    for objects in found:
        labels_of(objects, 60, 40)
    seen = {label for objects in found for label in objects.label}
    assert len(seen) > 1, "the case shows nothing"


def test_a_prompt_keeps_its_spelling(kind: str, adapter: Any) -> None:
    asked = Ontology.from_prompts(["Red Blood Cell"], [] if kind in UNSCORED else ["BLACK smudge"])
    found = adapter.detect([blobs(60, 40, seed) for seed in range(4)], asked, 0.0)
    seen = {prompt for objects in found for prompt in objects.prompt}
    assert "Red Blood Cell" in seen
    assert seen <= {"Red Blood Cell", "BLACK smudge"}


def test_what_is_found_is_what_is_found_in_the_photo_alone(adapter: Any, asked: Ontology) -> None:
    mixed = photos()
    alone = in_batches(lambda batch: adapter.detect(batch, asked, 0.0), mixed, 1)
    assert len({objects.xyxy.tobytes() for objects in alone}) > 6, "the photo makes no difference"
    for size in BATCH_SIZES[1:]:
        for order in orders(len(mixed)):
            shuffled = [mixed[i] for i in order]
            found = in_batches(lambda batch: adapter.detect(batch, asked, 0.0), shuffled, size)
            for i, objects in zip(order, found, strict=True):
                score, pixels = apart(alone[i], objects)
                assert score < SCORES_WITHIN
                assert pixels < BOXES_WITHIN


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


def test_a_mixed_batch_keeps_its_order(
    adapter: Any, asked: Ontology, labels_of: Callable[..., None]
) -> None:
    sizes = [(60, 40), (33, 90), (1, 1)]
    found = adapter.detect([blobs(*size) for size in sizes], asked, 0.0)
    for objects, size in zip(found, sizes, strict=True):
        labels_of(objects, *size)


def test_masks_are_of_the_images_size(adapter: Any, asked: Ontology) -> None:
    from autolabel.ops.masks import decode

    (found,) = adapter.detect([blobs(60, 40)], asked, 0.0)
    counts = [mask for mask in found.mask if mask is not None]
    assert decode(counts, 40, 60).any(axis=(1, 2)).all()


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
    labels_of: Callable[..., None],
    device: str,
    dtype: torch.dtype,
) -> None:
    there = registry.load(registry.locate("detector", str(checkpoint)), device)
    half = dtype is torch.bfloat16
    with torch.autocast(device, dtype, enabled=half):
        (found,) = there.detect([blobs(60, 40)], asked, 0.0)
    labels_of(found, 60, 40)
    (expected,) = adapter.detect([blobs(60, 40)], asked, 0.0)
    if not half:
        np.testing.assert_allclose(np.sort(found.score), np.sort(expected.score), atol=1e-3)
