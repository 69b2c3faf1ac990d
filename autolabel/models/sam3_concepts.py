"""SAM 3 with text (arXiv 2511.16719): every instance of a concept, as boxes and masks in one pass.

The model takes one prompt at a time and answers with queries of its own for it. A query's score is
multiplied by the model's belief that the concept is in the image at all. As no query is shared
between prompts, classes and negatives compete where their boxes overlap, in the stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from transformers import Sam3LiteTextModel, Sam3Model, Sam3Processor
from transformers.modeling_outputs import BaseModelOutputWithPooling

from autolabel.models.alike import Inputs, in_sizes
from autolabel.models.device import batch_size, resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.prompts import Pair, label, merge, refuse_long
from autolabel.models.sam_masks import PIXELS_PER_PASS
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels
from autolabel.ops.masks import encode
from autolabel.registry import Located, model_type
from autolabel.types import Objects

TEXT_LENGTH = 32
"""Tokens that the processor pads every prompt to."""

MASK_THRESHOLD = 0.5
"""Chance from which a pixel belongs to a mask, as in the library's post-processing."""

Text = tuple[Pair, torch.Tensor, torch.Tensor]
"""A prompt with its class, its embedding (1, tokens, width) and its attention mask (1, tokens)."""


class Sam3Concepts:
    """`Sam3Model`, from a checkpoint of its own or from within the published video model, or
    `Sam3LiteTextModel`, which has a small text encoder (arXiv 2602.12173).

    Its objects come with masks, so that nothing is left for `refine` to do; an object whose mask is
    empty comes without one. Beside the score, `scores` holds `presence`: the belief that the
    concept is in the image.

    Args:
        located: a folder with safetensors weights, processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        lite = model_type(located.path) == "sam3_lite_text"
        model_class = Sam3LiteTextModel if lite else Sam3Model
        self.processor, self.model = load_pretrained(
            located, Sam3Processor, model_class, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        self._texts: tuple[str, list[Text]] = ("", [])

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`."""
        texts = self._embedded(ontology)

        def alike(members: list[int], inputs: Inputs) -> list[Objects]:
            sizes = [images[i].shape[:2] for i in members]
            return self._forward(inputs["pixel_values"], sizes, texts, min_score)

        return in_sizes(self.processor.image_processor, images, alike)

    def _forward(
        self,
        pixels: torch.Tensor,
        sizes_hw: Sequence[tuple[int, ...]],
        texts: list[Text],
        min_score: float,
    ) -> list[Objects]:
        count = len(pixels)
        found: list[list[Objects]] = [[] for _ in sizes_hw]
        with torch.inference_mode():
            seen = self.model.get_vision_features(pixels.to(self.device))
            for pair, embedding, mask in texts:
                output = self.model(
                    vision_embeds=seen,
                    text_embeds=BaseModelOutputWithPooling(
                        pooler_output=embedding.expand(count, -1, -1)
                    ),
                    attention_mask=mask.expand(count, -1),
                )
                for i, size in enumerate(sizes_hw):
                    found[i].append(_objects(output, i, pair, size, min_score))
        return [merge(parts) for parts in found]

    def _embedded(self, ontology: Ontology) -> list[Text]:
        """Return every prompt's embedding; made once for an ontology."""
        key = ontology.fingerprint()
        if self._texts[0] != key:
            tokenizer = self.processor.tokenizer
            pairs = ontology.pairs()
            refuse_long(
                [prompt for _, prompt in pairs],
                lambda text: len(tokenizer(text)["input_ids"]),
                TEXT_LENGTH,
            )
            self._texts = (key, [self._embed(pair) for pair in pairs])
        return self._texts[1]

    def _embed(self, pair: Pair) -> Text:
        inputs = self.processor(text=pair[1], return_tensors="pt").to(self.device)
        with torch.inference_mode():
            embedding = self.model.get_text_features(**inputs).pooler_output
        return pair, embedding, inputs["attention_mask"]


def _objects(
    output: Any, image: int, pair: Pair, size_hw: tuple[int, ...], min_score: float
) -> Objects:
    """Return what one prompt found in one image of a batch."""
    height, width = size_hw
    presence = output.presence_logits[image].float().sigmoid()
    score = (output.pred_logits[image].float().sigmoid() * presence).cpu().numpy()
    chosen = np.flatnonzero(score >= min_score)
    boxes = output.pred_boxes[image].float().cpu().numpy()[chosen]
    scale = np.array([width, height, width, height], np.float32)
    return Objects.create(
        [label(pair)] * len(chosen),
        score[chosen],
        boxes * scale,
        mask=_masks(output.pred_masks[image][torch.from_numpy(chosen)], height, width),
        prompt=[pair[1]] * len(chosen),
        scores=[{"detector": float(score[i]), "presence": float(presence)} for i in chosen],
    )


def _masks(logits: torch.Tensor, height: int, width: int) -> list[bytes | None]:
    """Return mask logits (n, h, w) as RLE of the image's size; None for an empty one."""
    found: list[bytes | None] = []
    if len(logits) == 0:
        return found
    for part in torch.split(logits, max(1, PIXELS_PER_PASS // (height * width))):
        full = torch.nn.functional.interpolate(
            part.float().sigmoid()[None], (height, width), mode="bilinear", align_corners=False
        )[0]
        dense = full > MASK_THRESHOLD
        found += [
            counts if covers else None
            for counts, covers in zip(
                encode(dense.cpu().numpy()), dense.flatten(1).any(dim=1).tolist(), strict=True
            )
        ]
    return found
