from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import (
    AutoImageProcessor,
    AutoModel,
    IJepaConfig,
    IJepaModel,
    ViTConfig,
    ViTImageProcessor,
    ViTModel,
)

from autolabel import registry
from autolabel.models.image_only import ImageOnly
from tests.conftest import SAMPLE
from tests.embedders import SIDE, make_crops, save_random_dinov2


def load(folder: Path) -> ImageOnly:
    return registry.load(registry.locate("image", str(folder)), "cpu")


def save_vit(folder: Path, kind: str) -> Path:
    classes = {"vit": (ViTConfig, ViTModel), "ijepa": (IJepaConfig, IJepaModel)}
    config, model = classes[kind]
    torch.manual_seed(0)
    settings = config(
        image_size=SIDE, patch_size=8, hidden_size=16, num_hidden_layers=1,
        num_attention_heads=2, intermediate_size=32,
    )  # fmt: skip
    model(settings).save_pretrained(folder)
    ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["random", "sample", "vit", "ijepa"])
def test_vectors_equal_the_library_used_as_its_documentation_shows(
    kind: str, tmp_path: Path
) -> None:
    folder = SAMPLE / "models/dinov2"
    if kind == "random":
        folder = save_random_dinov2(tmp_path / "model")
    elif kind != "sample":
        folder = save_vit(tmp_path / "model", kind)
    crops = make_crops(4)
    inputs = AutoImageProcessor.from_pretrained(folder)(images=crops, return_tensors="pt")
    with torch.no_grad():
        outputs = AutoModel.from_pretrained(folder).eval()(**inputs)
    states = outputs.last_hidden_state
    if kind == "ijepa":
        features = states.mean(dim=1)
    else:
        features = states[:, 0] if kind == "vit" else outputs.pooler_output
    expected = torch.nn.functional.normalize(features, dim=-1).numpy()
    adapter = load(folder)
    np.testing.assert_allclose(adapter.embed_images(crops), expected, atol=1e-5)
    assert adapter.embed_images([]).shape == (0, adapter.dimensions)
