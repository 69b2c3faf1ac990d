"""Image-only embedders through transformers: DINOv2 (arXiv 2304.07193), DINOv3 (arXiv 2508.10104),
I-JEPA (arXiv 2301.08243), ViT (arXiv 2010.11929)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from transformers import AutoImageProcessor, AutoModel

from autolabel.models.alike import Inputs
from autolabel.models.device import batch_size, resolve
from autolabel.models.embedding import in_passes
from autolabel.models.loading import load_pretrained
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located


def class_token(output: Any) -> torch.Tensor:
    """Return the class token after the last normalisation, without what a pooler makes of it."""
    token: torch.Tensor = output.last_hidden_state[:, 0]
    return token


def mean_of_patches(output: Any) -> torch.Tensor:
    """Return the mean over the patches, for models without a class token."""
    mean: torch.Tensor = output.last_hidden_state.mean(dim=1)
    return mean


def pooled(output: Any) -> torch.Tensor:
    """Return what the model itself pools."""
    features: torch.Tensor = output.pooler_output
    return features


FEATURES: Mapping[str, Callable[[Any], torch.Tensor]] = {
    "dinov2": class_token,
    "dinov2_with_registers": class_token,
    "dinov3_convnext": pooled,
    "dinov3_vit": class_token,
    "ijepa": mean_of_patches,
    "vit": class_token,
}
"""Which features describe an image, by `model_type`."""


class ImageOnly:
    """A vision backbone.

    Args:
        located: a folder with safetensors weights and an image processor.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.processor, self.model = load_pretrained(
            located, AutoImageProcessor, AutoModel, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        self.features = FEATURES[self.model.config.model_type]
        config = self.model.config
        self.dimensions = int(getattr(config, "hidden_size", 0) or config.hidden_sizes[-1])

    def embed_images(self, crops: Sequence[Pixels]) -> Vectors:
        """See `autolabel.models.base.Embedder.embed_images`."""
        return in_passes(crops, self.processor, self._features, self.dimensions)

    def _features(self, inputs: Inputs) -> torch.Tensor:
        there = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        return self.features(self.model(**there))
