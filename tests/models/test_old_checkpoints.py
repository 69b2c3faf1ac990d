"""Checkpoints in the layout of those published, as an older transformers wrote them: each loads
without a network and answers what that library answered."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from autolabel import registry
from autolabel.ontology import Ontology
from tests.models.old import swin

OLD = Path(__file__).parent / "old"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the network, nor leave to do without it: what would ask must not."""

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, forbidden)
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, forbidden)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.delitem(os.environ, "HF_HUB_OFFLINE", raising=False)


def load(task: str, name: str) -> Any:
    return registry.load(registry.locate(task, str(OLD / name)), "cpu")


def answer(name: str) -> dict[str, np.ndarray]:
    """What transformers 4.57 answered; see `make_old_checkpoints.py`."""
    content = json.loads((OLD / name / "answer.json").read_text("utf-8"))
    return {key: np.array(values) for key, values in content.items()}


def photo(side: int) -> np.ndarray:
    """The photo of `make_old_checkpoints.py`."""
    coarse = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return coarse.repeat(side // 8, axis=0).repeat(side // 8, axis=1)


BOXES = np.array([[8, 8, 60, 80], [40, 20, 120, 100]], np.float32)


@pytest.mark.parametrize("name", ["sam2_video", "edgetam"])
def test_sam_2_and_edgetam_without_the_embedding_of_prompts(name: str) -> None:
    if name == "edgetam":
        pytest.importorskip("timm")
    weights = load_file(OLD / name / "model.safetensors")
    assert "prompt_encoder.shared_embedding.positional_embedding" not in weights
    adapter = load("segmenter", name)
    expected = answer(name)["iou"]
    found = adapter.segment(photo(128), BOXES, multimask=True, box_agreement=0)
    np.testing.assert_allclose(found.iou, expected.max(axis=1), atol=1e-3)
    assert expected.std() > 0.1, "the case shows nothing"


def test_omdet_turbo_with_arguments_for_its_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    monkeypatch.setitem(swin.entrypoints(), swin.NAME, swin.small_swin)
    config = json.loads((OLD / "omdet_turbo" / "config.json").read_text("utf-8"))
    assert config["backbone_kwargs"]["always_partition"]
    adapter = load("detector", "omdet_turbo")
    (found,) = adapter.detect([photo(swin.SIDE)], Ontology.from_prompts(["cat", "a red cell"]), 0.0)
    expected = answer("omdet_turbo")
    np.testing.assert_allclose(
        np.sort(found.score), np.sort(expected["scores"].max(axis=1)), atol=1e-3
    )
    centres = (found.xyxy[:, :2] + found.xyxy[:, 2:]) / 2 / swin.SIDE
    np.testing.assert_allclose(
        np.sort(centres, axis=0), np.sort(expected["boxes"][:, :2], axis=0), atol=1e-3
    )


def test_siglip_with_a_vocabulary_of_sentencepiece() -> None:
    adapter = load("image-text", "siglip")
    expected = answer("siglip")
    with torch.inference_mode():
        images = adapter.embed_images([photo(32)])
        texts = adapter.embed_texts(["cat", "a red cell"])
    np.testing.assert_allclose(images, expected["image"], atol=1e-4)
    np.testing.assert_allclose(texts, expected["text"], atol=1e-4)
