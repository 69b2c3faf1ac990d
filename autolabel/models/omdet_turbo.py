"""OmDet-Turbo through transformers (arXiv 2403.06892).

The model reads the prompts and a sentence, the task, that lists them. Its post-processing lists a
box once for every prompt and suppresses overlaps; here a box belongs to its best prompt, and
overlaps are left to the stage, which treats all models alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForZeroShotObjectDetection, OmDetTurboProcessor

from autolabel.models.alike import Inputs, in_sizes, input_size
from autolabel.models.device import batch_size, resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.prompts import Pair, best_of, merge, sizes_wh, split, to_xyxy
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located
from autolabel.types import Objects

TEXT_LENGTH = 77
"""Tokens of the task; the processor cuts what is longer."""

TASK_WORDS = 4
"""Tokens of the task that are no prompt's: start, `Detect`, full stop and end."""

Pass = tuple[tuple[Pair, ...], dict[str, torch.Tensor]]
"""Prompts of one pass and the model's text inputs for one image."""


class OmDetTurbo:
    """`OmDetTurboForObjectDetection`.

    Args:
        located: a folder with safetensors weights, processor and tokenizer.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device or timm, which the published backbones need, is not there, or the
            weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        self.processor, self.model = load_pretrained(
            located, OmDetTurboProcessor, AutoModelForZeroShotObjectDetection, self.device
        )
        self.batch_size = batch_size(self.model, self.device)
        self._passes: tuple[str, list[Pass]] = ("", [])

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """See `autolabel.models.base.Detector.detect`."""
        sizes, passes = sizes_wh(images), self._asked(ontology)

        def alike(members: list[int], inputs: Inputs) -> list[Objects]:
            pixels = inputs["pixel_values"].to(self.device)
            found = [self._forward(pixels, sizes[members], one, min_score) for one in passes]
            return [merge(parts) for parts in zip(*found, strict=True)]

        return in_sizes(self.processor.image_processor, images, alike)

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """See `autolabel.models.base.Batching.input_size`."""
        return input_size(self.processor.image_processor, width, height)

    def _forward(
        self,
        pixels: torch.Tensor,
        sizes: Vectors,
        one: Pass,
        min_score: float,
    ) -> list[Objects]:
        pairs, texts = one
        repeated = {
            name: tensor.repeat(len(pixels), *[1] * (tensor.ndim - 1)).to(self.device)
            for name, tensor in texts.items()
        }
        with torch.inference_mode():
            output = self.model(pixel_values=pixels, **repeated)
        scores = output.decoder_class_logits.float().sigmoid().cpu().numpy()
        boxes = to_xyxy(output.decoder_coord_logits.float().cpu().numpy(), sizes)
        return [best_of(pairs, boxes[i], scores[i], min_score) for i in range(len(pixels))]

    def _asked(self, ontology: Ontology) -> list[Pass]:
        """Return the passes that ask for every prompt; the negatives stand in each."""
        key = ontology.fingerprint()
        if self._passes[0] != key:
            groups = split(ontology, self._length, TEXT_LENGTH - TASK_WORDS, TEXT_LENGTH)
            self._passes = (key, [(pairs, self._texts(pairs)) for pairs in groups])
        return self._passes[1]

    def _length(self, prompt: str) -> int:
        ids = self.processor.tokenizer(f"{prompt},", add_special_tokens=False)["input_ids"]
        return len(ids)

    def _texts(self, pairs: Sequence[Pair]) -> dict[str, torch.Tensor]:
        prompts = [prompt for _, prompt in pairs]
        classes = self._tokens(prompts)
        task = self._tokens([f"Detect {', '.join(prompts)}."])
        return {
            **{f"classes_{name}": tensor for name, tensor in classes.items()},
            **{f"tasks_{name}": tensor for name, tensor in task.items()},
            "classes_structure": torch.tensor([len(prompts)]),
        }

    def _tokens(self, texts: list[str]) -> dict[str, Any]:
        inputs = self.processor.tokenizer(
            texts,
            padding="max_length",
            max_length=TEXT_LENGTH,
            truncation=True,
            return_tensors="pt",
        )
        return {name: inputs[name] for name in ("input_ids", "attention_mask")}
