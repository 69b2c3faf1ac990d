"""SAM and its kin through transformers' mask generation classes: SAM (arXiv 2304.02643), SAM-HQ
(arXiv 2306.01567), SAM 2 and 2.1 (arXiv 2408.00714), EdgeTAM (arXiv 2501.07256) and the tracker of
SAM 3 (arXiv 2511.16719).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from transformers import (
    AutoModelForMaskGeneration,
    Sam2Processor,
    Sam3TrackerProcessor,
    SamHQProcessor,
    SamProcessor,
)

from autolabel.models.base import Segmented
from autolabel.models.device import resolve
from autolabel.models.loading import load_pretrained
from autolabel.models.sam_masks import BOXES_PER_PASS, finish
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located, model_type

PROCESSORS: Mapping[str, Any] = {
    "edgetam": Sam2Processor,
    "edgetam_video": Sam2Processor,
    "sam": SamProcessor,
    "sam2": Sam2Processor,
    "sam2_video": Sam2Processor,
    "sam3_tracker": Sam3TrackerProcessor,
    "sam3_video": Sam3TrackerProcessor,
    "sam_hq": SamHQProcessor,
}
"""What prepares an image and its boxes, by `model_type`. Checkpoints that also follow objects
through videos name the processor of videos, which takes no boxes."""


class Sam:
    """`SamModel`, `SamHQModel`, `Sam2Model`, `EdgeTamModel` or `Sam3TrackerModel`.

    Of a checkpoint for videos only the part for single images is loaded.

    Args:
        located: a folder with safetensors weights and a processor.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there or the weights do not load.
    """

    def __init__(self, located: Located, device: str) -> None:
        self.device = resolve(device)
        processor = PROCESSORS[model_type(located.path)]
        self.processor, self.model = load_pretrained(
            located, processor, AutoModelForMaskGeneration, self.device
        )

    def segment(
        self,
        image: Pixels,
        boxes_xyxy: Vectors,
        *,
        multimask: bool,
        box_agreement: float,
    ) -> Segmented:
        """See `autolabel.models.base.Segmenter.segment`."""
        if len(boxes_xyxy) == 0:
            return Segmented.none()
        inputs = self.processor(
            images=np.require(image, requirements="W"),  # torch warns of what it may not write
            input_boxes=[boxes_xyxy.tolist()],
            input_data_format="channels_last",
            return_tensors="pt",
        )
        boxes = inputs["input_boxes"].float()
        pixels = inputs["pixel_values"]
        with torch.inference_mode():
            known = self._embeddings(pixels.to(self.device))
            passes = [
                self.model(**known, input_boxes=part.to(self.device), multimask_output=multimask)
                for part in torch.split(boxes, BOXES_PER_PASS, dim=1)
            ]
            logits = torch.cat([one.pred_masks[0] for one in passes])
            judged = torch.cat([one.iou_scores[0] for one in passes])
            # Logits cover the padded input, and the boxes are in its pixels.
            size_wh = torch.tensor([logits.shape[-1], logits.shape[-2]])
            scale = size_wh / torch.tensor([pixels.shape[-1], pixels.shape[-2]])
            low = boxes[0] * scale.repeat(2)
            largest = max(image.shape[0] * image.shape[1], pixels.shape[-1] * pixels.shape[-2])
            return finish(
                logits,
                judged,
                low.to(self.device),
                lambda part: self._upscaled(part, inputs),
                largest,
                box_agreement,
            )

    def _embeddings(self, pixels: torch.Tensor) -> dict[str, Any]:
        """Return the encoder's answer, under the names by which the model takes it back."""
        found = self.model.get_image_embeddings(pixels)
        if isinstance(found, tuple):  # SAM-HQ
            return {"image_embeddings": found[0], "intermediate_embeddings": found[1]}
        return {"image_embeddings": found}

    def _upscaled(self, part: torch.Tensor, inputs: Any) -> torch.Tensor:
        padding = {k: inputs[k] for k in ("reshaped_input_sizes",) if k in inputs}
        (full,) = self.processor.post_process_masks(
            [part], inputs["original_sizes"], binarize=False, **padding
        )
        upscaled: torch.Tensor = full
        return upscaled
