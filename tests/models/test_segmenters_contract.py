"""What every registered segmenter must do, whatever its family; a new one is tested by existing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from autolabel import registry
from autolabel.ops.masks import decode
from autolabel.testing.segmenter import BOXES, SEGMENTER_CHECKS, photo, segment
from tests.models.checkpoints_segmenters import (
    BUILDERS,
    save_fast_sam,
    save_mobile_sam,
    save_ultralytics_sam2,
    save_ultralytics_sam3,
    shrink_ultralytics,
)
from tests.models.hub import COMMIT, put_in_cache

FILES = {".pt", ".pth", "mobile_sam.pt", "sam2_t.pt", "sam3.pt"}
"""Kinds that are one file, which no hub id names and transformers does not load."""

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


@pytest.mark.parametrize("check", SEGMENTER_CHECKS, ids=lambda check: check.__name__)
def test_the_contract(check: Callable[[Any], None], adapter: Any) -> None:
    check(adapter)


def test_no_boxes_encode_no_image(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = "model" if hasattr(adapter, "model") else "predictor"
    monkeypatch.setattr(adapter, inner, None)
    assert segment(adapter, photo(), []).masks == ()


def test_the_image_is_encoded_once(adapter: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    if not hasattr(getattr(adapter, "model", None), "get_image_embeddings"):
        pytest.skip("no model of transformers")
    calls = []
    encode = adapter.model.get_image_embeddings
    monkeypatch.setattr(
        adapter.model, "get_image_embeddings", lambda pixels: calls.append(1) or encode(pixels)
    )
    monkeypatch.setattr("autolabel.models.sam.BOXES_PER_PASS", 2)
    segment(adapter, photo(), BOXES)
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
    image = photo()
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


SEGMENTERS = sorted(n for n, r in registry.registered().items() if r.task == "segmenter")


@pytest.mark.parametrize("name", SEGMENTERS)
def test_it_is_found_by_name_as_by_folder(
    name: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = registry.registered()[name].model_type
    if kind.startswith("edgetam"):
        pytest.importorskip("timm")
    cache = tmp_path_factory.mktemp("cache")
    folder = BUILDERS[kind](cache / "checkpoint")
    put_in_cache(cache, registry.registered()[name].hub_id, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    by_name = registry.locate("segmenter", name, fetch=False)
    assert by_name.revision == COMMIT
    one = segment(registry.load(by_name, "cpu"), photo(), BOXES)
    other = registry.load(registry.locate("segmenter", str(folder)), "cpu")
    assert one.masks == segment(other, photo(), BOXES).masks


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_gpu_finds_what_the_cpu_finds(checkpoint: Path, adapter: Any) -> None:
    image = photo()
    there = registry.load(registry.locate("segmenter", str(checkpoint)), "cuda")
    ours, theirs = segment(adapter, image, BOXES), segment(there, image, BOXES)
    np.testing.assert_allclose(theirs.iou, ours.iou, atol=1e-2)
    assert np.mean(decode(ours.masks, 64, 96) != decode(theirs.masks, 64, 96)) < 0.02
