"""Image-text embedders through transformers: CLIP, OpenCLIP and MetaCLIP (arXiv 2103.00020,
2212.07143, 2309.16671, 2507.22062), SigLIP and SigLIP 2 (arXiv 2303.15343, 2502.14786), ALIGN
(arXiv 2102.05918) and others with the same two towers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from transformers import AutoModel, AutoProcessor

from autolabel.errors import AutolabelError
from autolabel.models.alike import Inputs
from autolabel.models.base import Scoring
from autolabel.models.device import batch_size, resolve
from autolabel.models.embedding import in_passes, unit
from autolabel.models.loading import load_pretrained
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located

PADDING: Mapping[str, str] = {"siglip": "max_length", "siglip2": "max_length"}
"""How texts are padded, by `model_type`: SigLIP learned with texts of full length only."""

LOWERCASED = frozenset({"siglip", "siglip2"})
"""Models that learned from texts in small letters, which not every tokenizer of theirs sees to."""

COUNTED_FROM_PADDING = frozenset({"altclip_text_model"})
"""Text towers after RoBERTa: they number positions from after the padding token's id."""

TEXTS_PER_PASS = 256


class ImageText:
    """A model with `get_image_features`, `get_text_features` and a learned scale.

    Args:
        located: a folder with safetensors weights, image processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.processor, self.model = load_pretrained(located, AutoProcessor, AutoModel, self.device)
        self.batch_size = batch_size(self.model, self.device)
        config = self.model.config
        self.dimensions = int(
            getattr(config, "projection_dim", 0) or config.text_config.projection_size
        )
        self.longest = longest(config.text_config, self.processor.tokenizer)
        self.padding = PADDING.get(config.model_type, "longest")
        self.lowercased = config.model_type in LOWERCASED
        self.scoring = scoring(self.model)

    def embed_images(self, crops: Sequence[Pixels]) -> Vectors:
        """See `autolabel.models.base.Embedder.embed_images`."""
        return in_passes(crops, self.processor.image_processor, self._features, self.dimensions)

    def _features(self, inputs: Inputs) -> torch.Tensor:
        there = {name: tensor.to(self.device) for name, tensor in inputs.items()}
        return pooled(self.model.get_image_features(**there))

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """See `autolabel.models.base.ImageTextEmbedder.embed_texts`."""
        texts = [text.lower() if self.lowercased else text for text in texts]
        self._refuse_long(texts)
        parts = [np.zeros((0, self.dimensions), np.float32)]
        for start in range(0, len(texts), TEXTS_PER_PASS):
            inputs = self.processor(
                text=texts[start : start + TEXTS_PER_PASS],
                padding=self.padding,
                max_length=self.longest,
                truncation=True,
                return_tensors="pt",
            )
            with torch.inference_mode():
                features = self.model.get_text_features(**inputs.to(self.device))
            parts.append(unit(pooled(features)))
        return np.concatenate(parts)

    def _refuse_long(self, texts: Sequence[str]) -> None:
        for text in texts:
            count = len(self.processor.tokenizer(text)["input_ids"])
            if count > self.longest:
                raise AutolabelError(
                    f"{text[:40]!r} has {count} tokens, over the model's {self.longest}",
                    hint="shorten the prompt or the template",
                )


def longest(text_config: Any, tokenizer: Any) -> int:
    """Return the most tokens that a model reads of a text."""
    positions = int(text_config.max_position_embeddings)
    if text_config.model_type in COUNTED_FROM_PADDING:
        positions -= int(text_config.pad_token_id) + 1
    return min(positions, int(tokenizer.model_max_length))


def scoring(model: Any) -> Scoring:
    """Tell how the model was trained to compare: its learned scale, and bias where it has one."""
    bias = getattr(model, "logit_bias", None)
    if hasattr(model, "temperature"):  # ALIGN
        scale = 1 / model.temperature.detach()
    else:
        scale = model.logit_scale.detach().exp()
    return Scoring(
        scale=float(scale),
        bias=0.0 if bias is None else float(bias.detach()),
        sigmoid=bias is not None,
    )


def pooled(output: Any) -> torch.Tensor:
    """Return the projected features, whether the library gives them bare or within an output."""
    features: torch.Tensor = output if isinstance(output, torch.Tensor) else output.pooler_output
    return features
