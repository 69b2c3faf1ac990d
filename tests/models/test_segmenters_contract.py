"""What every registered segmenter must do, whatever its family; a new one is tested by existing."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from autolabel import registry
from autolabel.models.base import Segmented
from autolabel.ops.masks import areas, decode
from tests.models.batches import SCORES_WITHIN, orders, photos
from tests.models.checkpoints_segmenters import (
    BUILDERS,
    KINDS,
    save_fast_sam,
    save_mobile_sam,
    save_ultralytics_sam2,
    save_ultralytics_sam3,
    shrink_ultralytics,
)
from tests.models.hub import COMMIT, put_in_cache

FILES = {".pt", ".pth", "mobile_sam.pt", "sam2_t.pt", "sam3.pt"}
"""Kinds that are one file, which no hub id names and transformers does not load."""

BOXES = np.array([[4, 4, 30, 40], [50, 10.5, 90, 60], [0, 0, 96, 64], [10, 50, 18, 60]], np.float32)

LIBRARY = {
    "edgetam": ("Sam2Processor", "EdgeTamModel"),
    "edgetam_video": ("Sam2Processor", "EdgeTamModel"),
    "sam": ("SamProcessor", "SamModel"),
    "sam2": ("Sam2Processor", "Sam2Model"),
    "sam2_video": ("Sam2Processor", "Sam2Model"),
    "sam3_tracker": ("Sam3TrackerProcessor", "Sam3TrackerModel"),
    "sam3_video": ("Sam3TrackerProcessor", "Sam3TrackerModel"),
    "sam_hq": ("SamHQProcessor", "SamHQModel"),
}
"""The two classes that the library's pages use for each kind of checkpoint."""


def blobs(width: int, height: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


BY_FILE = {
    ".pt": save_fast_sam,
    "mobile_sam.pt": save_mobile_sam,
    "sam2_t.pt": save_ultralytics_sam2,
    "sam3.pt": save_ultralytics_sam3,
}
"""The adapter for `.pt` files serves four families."""

EVERY_KIND = sorted({*registry.ADAPTERS["segmenter"], *BY_FILE})


@pytest.fixture(scope="module", autouse=True)
def small_ones_of_ultralytics() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if find_spec("ultralytics"):
            shrink_ultralytics(patch)
        yield


@pytest.fixture(scope="module", params=EVERY_KIND)
def kind(request: pytest.FixtureRequest) -> str:
    if request.param.startswith("edgetam"):
        pytest.importorskip("timm")
    if request.param in BY_FILE:
        pytest.importorskip("ultralytics")
    if request.param == ".pth":
        pytest.importorskip("segment_anything")
    return request.param


@pytest.fixture(scope="module")
def checkpoint(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    builders = {**BUILDERS, **BY_FILE}
    assert kind in builders, f"tests/models/checkpoints_segmenters.py builds no {kind} checkpoint"
    return builders[kind](tmp_path_factory.mktemp("models") / kind)


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Any:
    return registry.load(registry.locate("segmenter", str(checkpoint)), "cpu")


def segment(adapter: Any, image: np.ndarray, boxes: Any, *, multimask: bool = True) -> Segmented:
    """Masks of boxes, checked against everything that a segmenter promises."""
    prompts = np.asarray(boxes, np.float32).reshape(-1, 4)
    found: Segmented = adapter.segment(image, prompts, multimask=multimask, box_agreement=0.5)
    count = len(prompts)
    assert len(found.masks) == count
    assert all(isinstance(mask, bytes) for mask in found.masks)
    assert decode(found.masks, *image.shape[:2]).shape == (count, *image.shape[:2])
    for figures in (found.iou, found.stability):
        assert figures.dtype == np.float32
        assert figures.shape == (count,)
        assert np.isfinite(figures).all()
    assert ((found.stability >= 0) & (found.stability <= 1)).all()
    return found


def test_no_boxes_encode_no_image(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = "model" if hasattr(adapter, "model") else "predictor"
    monkeypatch.setattr(adapter, inner, None)
    assert segment(adapter, blobs(96, 64), []).masks == ()


@pytest.mark.parametrize("multimask", [True, False])
@pytest.mark.parametrize("count", [1, 4, 40])
def test_boxes_one_by_one_equal_boxes_at_once(adapter: Any, count: int, multimask: bool) -> None:
    image = blobs(96, 64)
    corners = np.random.default_rng(0).uniform(0, 60, (count, 2, 2))
    boxes = np.sort(corners, axis=1).reshape(count, 4)
    boxes[:, 2:] += 4
    together = segment(adapter, image, boxes, multimask=multimask)
    for i in range(0, count, 13):
        alone = segment(adapter, image, boxes[i], multimask=multimask)
        assert alone.iou[0] == pytest.approx(together.iou[i], abs=1e-4)
        first, second = decode([alone.masks[0], together.masks[i]], 64, 96)
        assert np.mean(first != second) < 0.005  # a pixel at the very edge may move


def test_the_masks_of_a_photo_are_those_of_the_photo_alone(adapter: Any) -> None:
    mixed = [photo for photo in photos() if min(photo.shape[:2]) > 20]
    whole = [[[0, 0, p.shape[1] * 0.7, p.shape[0]], [2, 2, 20, 20]] for p in mixed]
    first = [segment(adapter, *one) for one in zip(mixed, whole, strict=True)]
    for order in orders(len(mixed)):
        for i in order:
            again = segment(adapter, mixed[i], whole[i])
            assert again.masks == first[i].masks
            np.testing.assert_allclose(again.iou, first[i].iou, atol=SCORES_WITHIN)


def test_a_box_around_the_whole_image(adapter: Any) -> None:
    found = segment(adapter, blobs(96, 64), [0, 0, 96, 64])
    assert areas(found.masks, 64, 96)[0] <= 96 * 64


@pytest.mark.parametrize("size", [(1, 1), (10, 200), (200, 10), (2, 3)])
def test_images_of_one_pixel_and_of_odd_shapes(adapter: Any, size: tuple[int, int]) -> None:
    width, height = size
    segment(adapter, blobs(width, height), [[0, 0, width, height], [0, 0, width / 2, height]])


def test_a_grey_image(adapter: Any) -> None:
    segment(adapter, np.full((64, 96, 3), 128, np.uint8), BOXES)


def test_an_image_is_not_written_to(adapter: Any) -> None:
    image = blobs(96, 64)
    before = image.copy()
    image.setflags(write=False)
    segment(adapter, image, BOXES)
    assert np.array_equal(image, before)


def test_the_image_is_encoded_once(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(getattr(adapter, "model", None), "get_image_embeddings"):
        pytest.skip("no model of transformers")
    calls = []
    encode = adapter.model.get_image_embeddings
    monkeypatch.setattr(
        adapter.model, "get_image_embeddings", lambda pixels: calls.append(1) or encode(pixels)
    )
    monkeypatch.setattr("autolabel.models.sam.BOXES_PER_PASS", 2)
    segment(adapter, blobs(96, 64), BOXES)
    assert len(calls) == 1


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_equal_the_documented_use(
    kind: str, checkpoint: Path, adapter: Any, multimask: bool
) -> None:
    if kind in FILES:
        pytest.skip("not transformers' own; compared with its package in a test of its own")
    processor_class, model_class = (getattr(transformers, name) for name in LIBRARY[kind])
    processor = processor_class.from_pretrained(checkpoint)
    model = model_class.from_pretrained(checkpoint).eval()
    image = blobs(96, 64)
    inputs = processor(
        images=Image.fromarray(image), input_boxes=[BOXES.tolist()], return_tensors="pt"
    )
    inputs["input_boxes"] = inputs["input_boxes"].float()
    known = ("pixel_values", "input_boxes")
    with torch.no_grad():
        outputs = model(**{k: inputs[k] for k in known}, multimask_output=multimask)
    padding = [inputs[k] for k in ("reshaped_input_sizes",) if k in inputs]
    logits = outputs.pred_masks if kind == "sam" else [outputs.pred_masks[0]]
    (masks,) = processor.post_process_masks(logits, inputs["original_sizes"], *padding)
    judged = outputs.iou_scores[0].numpy()
    rows, best = np.arange(len(BOXES)), judged.argmax(axis=1)
    ours = adapter.segment(image, BOXES, multimask=multimask, box_agreement=0)
    np.testing.assert_allclose(ours.iou, judged[rows, best], atol=1e-5)
    assert np.mean(decode(ours.masks, 64, 96) != masks.numpy()[rows, best]) < 1e-3


def test_the_masks_of_a_random_checkpoint_are_neither_empty_nor_full(adapter: Any) -> None:
    found = segment(adapter, blobs(96, 64), BOXES)
    assert 0.01 < decode(found.masks, 64, 96).mean() < 0.99, "the other tests show nothing"


SEGMENTERS = sorted(n for n, r in registry.registered().items() if r.task == "segmenter")


@pytest.mark.parametrize("name", SEGMENTERS)
def test_it_is_found_by_name_as_by_folder(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in KINDS, f"tests/models/checkpoints_segmenters.py does not say what {name} is"
    if KINDS[name].startswith("edgetam"):
        pytest.importorskip("timm")
    cache = tmp_path_factory.mktemp("cache")
    folder = BUILDERS[KINDS[name]](cache / "checkpoint")
    put_in_cache(cache, registry.registered()[name].hub_id, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    by_name = registry.locate("segmenter", name, fetch=False)
    assert by_name.revision == COMMIT
    one = segment(registry.load(by_name, "cpu"), blobs(96, 64), BOXES)
    other = registry.load(registry.locate("segmenter", str(folder)), "cpu")
    assert one.masks == segment(other, blobs(96, 64), BOXES).masks


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_gpu_finds_what_the_cpu_finds(checkpoint: Path, adapter: Any) -> None:
    image = blobs(96, 64)
    there = registry.load(registry.locate("segmenter", str(checkpoint)), "cuda")
    ours, theirs = segment(adapter, image, BOXES), segment(there, image, BOXES)
    np.testing.assert_allclose(theirs.iou, ours.iou, atol=1e-2)
    assert np.mean(decode(ours.masks, 64, 96) != decode(theirs.masks, 64, 96)) < 0.02
