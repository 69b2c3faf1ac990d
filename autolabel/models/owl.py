"""OWL-ViT and OWLv2 through transformers (arXiv 2205.06230, 2306.09683).

Every patch of the image proposes one box, and each prompt is scored against each patch by itself,
so that any number of prompts takes one pass and no prompt changes another's score.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel.models.alike import Inputs, in_sizes
from autolabel.models.device import batch_size, resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.prompts import Pair, best_of, refuse_long, sizes_wh, to_xyxy
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located
from autolabel.types import Objects

TEMPLATE = "a photo of a {}"
"""What the models' documentation puts around a class name."""

SQUARE = frozenset({"owlv2"})
"""Kinds that pad the image at the right and below to a square, to whose sides boxes are relative;
the others stretch it."""


class Owl:
    """`OwlViTForObjectDetection` or `Owlv2ForObjectDetection`.

    Beside the score, `scores` holds `objectness` where the model estimates it: how sure it is that
    the box holds any object, whatever it is called.

    Args:
        located: a folder with safetensors weights, processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.processor, self.model = load_pretrained(
            located, AutoProcessor, AutoModelForZeroShotObjectDetection, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        self.towers = getattr(self.model, self.model.config.model_type)
        self._texts: tuple[str, list[Pair], torch.Tensor] = ("", [], torch.zeros(0))

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`."""
        pairs, texts = self._embedded(ontology)
        sizes = sizes_wh(images)
        if self.model.config.model_type in SQUARE:
            sizes = np.repeat(sizes.max(axis=1, keepdims=True), 2, axis=1)

        def alike(members: list[int], inputs: Inputs) -> list[Objects]:
            return self._forward(inputs["pixel_values"], sizes[members], pairs, texts, min_score)

        return in_sizes(self.processor.image_processor, images, alike)

    def _forward(
        self,
        pixels: torch.Tensor,
        sizes: Vectors,
        pairs: list[Pair],
        texts: torch.Tensor,
        min_score: float,
    ) -> list[Objects]:
        with torch.inference_mode():
            features, _ = self.model.image_embedder(pixels.to(self.device))
            patches = features.flatten(1, 2)
            queries = texts.expand(len(pixels), -1, -1)
            scores = self.model.class_predictor(patches, queries)[0].float().sigmoid()
            relative = self.model.box_predictor(patches, features).float()
            objectness = self._objectness(patches)
        boxes = to_xyxy(relative.cpu().numpy(), sizes)
        return [
            best_of(
                pairs,
                boxes[i],
                scores[i].cpu().numpy(),
                min_score,
                {name: values[i].cpu().numpy() for name, values in objectness.items()},
            )
            for i in range(len(pixels))
        ]

    def _objectness(self, patches: torch.Tensor) -> dict[str, torch.Tensor]:
        if not hasattr(self.model, "objectness_predictor"):  # OWL-ViT
            return {}
        return {"objectness": self.model.objectness_predictor(patches).float().sigmoid()}

    def _embedded(self, ontology: Ontology) -> tuple[list[Pair], torch.Tensor]:
        """Return prompts and their embeddings, (prompts, dimensions); made once for an ontology."""
        key = ontology.fingerprint()
        if self._texts[0] != key:
            pairs = ontology.pairs()
            texts = [TEMPLATE.format(prompt) for _, prompt in pairs]
            longest = int(self.model.config.text_config.max_position_embeddings)
            tokenizer = self.processor.tokenizer
            refuse_long(texts, lambda text: len(tokenizer(text)["input_ids"]), longest)
            inputs = tokenizer(
                texts, padding="max_length", max_length=longest, return_tensors="pt"
            ).to(self.device)
            with torch.inference_mode():
                found = self.towers.get_text_features(
                    input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
                ).pooler_output
            self._texts = (key, pairs, found)
        return self._texts[1:]
