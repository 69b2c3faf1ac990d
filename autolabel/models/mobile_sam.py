"""MobileSAM (arXiv 2306.14289), SAM's decoder behind a small encoder, by ultralytics' classes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from autolabel.errors import AutolabelError
from autolabel.models.base import Segmented
from autolabel.models.device import resolve
from autolabel.models.sam_masks import in_passes
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.registry import Located

KNOWN_BY = "image_encoder.patch_embed.seq.0.c.weight"
"""A weight that no other SAM has."""

SIDE = 1024
"""Pixels of the longer side, and of the square that the encoder sees."""

CHANNELS, PATCH = 256, 16
MEAN = torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1)
DEVIATION = torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1)
"""ImageNet's, in 0..255."""


class MobileSam:
    """`mobile_sam.pt`, and files that were fine-tuned from it.

    Args:
        state: the weights.
        located: the file that they are from, for errors.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: the device is not there, or weights are missing or left over.
    """

    def __init__(self, state: dict[str, Any], located: Located, device: str) -> None:
        self.device = resolve(device)
        self.model, self.side = network(SIDE), SIDE
        try:
            self.model.load_state_dict(state)
        except RuntimeError as e:
            raise AutolabelError(
                f"{located.name} is not a MobileSAM: {' '.join(str(e).split())[:200]}",
                hint="use mobile_sam.pt as published",
            ) from e
        self.model.to(self.device, torch.float32).eval()

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
        height, width = image.shape[:2]
        scale = self.side / max(height, width)
        inner = max(1, int(height * scale + 0.5)), max(1, int(width * scale + 0.5))
        factor = np.array([inner[1] / width, inner[0] / height] * 2, np.float32)
        boxes = torch.from_numpy(boxes_xyxy * factor).to(self.device)
        with torch.inference_mode():
            features = self.model.image_encoder(self._pixels(image, inner))
            return in_passes(
                boxes,
                lambda part: self._decode(features, part, multimask),
                lambda part: self._upscaled(part, inner, (height, width)),
                self.side,
                max(self.side * self.side, height * width),
                box_agreement,
            )

    def _pixels(self, image: Pixels, inner: tuple[int, int]) -> torch.Tensor:
        """Bring the longer side to the encoder's, normalise, then pad to a square."""
        pixels = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1).float()[None]
        pixels = F.interpolate(pixels, inner, mode="bilinear", antialias=True)
        pixels = (pixels - MEAN.to(self.device)) / DEVIATION.to(self.device)
        return F.pad(pixels, (0, self.side - inner[1], 0, self.side - inner[0]))

    def _decode(
        self, features: torch.Tensor, boxes: torch.Tensor, multimask: bool
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return mask logits (n, k, h, w) as the decoder gives them, and predicted IoU (n, k)."""
        prompts = self.model.prompt_encoder
        sparse, dense = prompts(points=None, boxes=boxes, masks=None)
        logits, judged = self.model.mask_decoder(
            image_embeddings=features,
            image_pe=prompts.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=multimask,
        )
        return logits, judged

    def _upscaled(
        self, part: torch.Tensor, inner: tuple[int, int], size_hw: tuple[int, int]
    ) -> torch.Tensor:
        padded = F.interpolate(part, (self.side, self.side), mode="bilinear", align_corners=False)
        cut = padded[..., : inner[0], : inner[1]]
        return F.interpolate(cut, size_hw, mode="bilinear", align_corners=False)


def network(side: int) -> Any:
    """Build MobileSAM with a random start, for square images of so many pixels."""
    from ultralytics.models.sam.modules.decoders import MaskDecoder
    from ultralytics.models.sam.modules.encoders import PromptEncoder
    from ultralytics.models.sam.modules.tiny_encoder import TinyViT
    from ultralytics.models.sam.modules.transformer import TwoWayTransformer

    encoder = TinyViT(
        img_size=side,
        embed_dims=[64, 128, 160, 320],
        depths=[2, 2, 6, 2],
        num_heads=[2, 4, 5, 10],
        window_sizes=[7, 7, 14, 7],
        drop_path_rate=0.0,
    )
    prompts = PromptEncoder(
        embed_dim=CHANNELS,
        image_embedding_size=(side // PATCH, side // PATCH),
        input_image_size=(side, side),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(
        transformer_dim=CHANNELS,
        transformer=TwoWayTransformer(depth=2, embedding_dim=CHANNELS, num_heads=8, mlp_dim=2048),
    )
    return torch.nn.ModuleDict(
        {"image_encoder": encoder, "prompt_encoder": prompts, "mask_decoder": decoder}
    )
