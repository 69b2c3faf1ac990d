"""FastSAM (arXiv 2306.12156): a YOLO network finds everything; each box takes the mask like it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F

from autolabel.models.base import Segmented
from autolabel.models.device import resolve
from autolabel.models.sam_masks import PIXELS_PER_PASS
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.ops.masks import encode, stability

MIN_SCORE = 0.25
OVERLAP = 0.9
MOST = 300
"""What of everything is looked at: score, IoU of two boxes of which one goes, and how many."""

OUTSIDE = -20.0
"""Logit of a pixel outside a mask's own box."""


GREY = 114 / 255
"""What ultralytics pads images with."""


@dataclass(frozen=True)
class Fit:
    """Where an image of `height` x `width` lies in the network's padded input, in its pixels."""

    height: int
    width: int
    inner_height: int
    inner_width: int
    top: int
    left: int
    full_height: int
    full_width: int

    @classmethod
    def of(cls, height: int, width: int, side: int, stride: int) -> Fit:
        """Fit the longer side to `side`; pad the other at both ends to a multiple of `stride`."""
        scale = side / max(height, width)
        inner = max(1, round(height * scale)), max(1, round(width * scale))
        full_height, full_width = (-(-n // stride) * stride for n in inner)
        top, left = (full_height - inner[0]) // 2, (full_width - inner[1]) // 2
        return cls(height, width, *inner, top, left, full_height, full_width)

    def boxes(self, xyxy: torch.Tensor) -> torch.Tensor:
        """Return boxes of the image (n, 4) in the input's pixels."""
        scale = [self.inner_width / self.width, self.inner_height / self.height] * 2
        return xyxy * xyxy.new_tensor(scale) + xyxy.new_tensor([self.left, self.top] * 2)

    def image_boxes(self, xyxy: torch.Tensor) -> torch.Tensor:
        """Return the inverse of `boxes`."""
        scale = [self.inner_width / self.width, self.inner_height / self.height] * 2
        return (xyxy - xyxy.new_tensor([self.left, self.top] * 2)) / xyxy.new_tensor(scale)

    def padded(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return pixels (1, 3, height, width) in 0..1 as the network reads them."""
        inner = F.interpolate(pixels, (self.inner_height, self.inner_width), mode="bilinear")
        right = self.full_width - self.left - self.inner_width
        bottom = self.full_height - self.top - self.inner_height
        return F.pad(inner, (self.left, right, self.top, bottom), value=GREY)

    def upscaled(self, logits: torch.Tensor) -> torch.Tensor:
        """Return mask logits (n, h, w) of the input as (n, height, width) of the image."""
        full = F.interpolate(logits[:, None], (self.full_height, self.full_width), mode="bilinear")
        rows = slice(self.top, self.top + self.inner_height)
        columns = slice(self.left, self.left + self.inner_width)
        cut = full[..., rows, columns]
        return F.interpolate(cut, (self.height, self.width), mode="bilinear")[:, 0]


class FastSam:
    """A `SegmentationModel` of one class, everything.

    It takes boxes for a choice among what it found without them: each box gets the mask that
    overlaps it best (IoU), and an empty one where none overlaps it at all. The predicted IoU is the
    network's score of the object. Its masks have no alternatives, so `multimask` and
    `box_agreement` change nothing.

    Args:
        network: as read from the file.
        trained: the options of its training.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(self, network: Any, trained: Mapping[str, Any], device: str) -> None:
        self.device = resolve(device)
        self.model = network.float().eval().to(self.device)
        self.side = int(trained.get("imgsz") or 1024)
        self.stride = max(int(network.stride.max()), 32)

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
        fit = Fit.of(height, width, self.side, self.stride)
        with torch.inference_mode():
            found, scores, logits = self._everything(image, fit)
            scale = logits.shape[-1] / fit.full_width
            seen = (logits > 0) & inside(found * scale, logits.shape[-2:])
            prompts = fit.boxes(torch.tensor(boxes_xyxy, device=self.device)) * scale
            like, best = overlaps(seen, prompts).max(dim=1)
            # Without any overlap the last, which is empty.
            best = torch.where(like > 0, best, len(logits) - 1)
            masks: list[bytes] = []
            stable: list[Vectors] = []
            for part in torch.split(best, max(1, PIXELS_PER_PASS // (height * width))):
                own = inside(fit.image_boxes(found[part]), image.shape[:2])
                full = fit.upscaled(logits[part]).masked_fill(~own, OUTSIDE).cpu().numpy()
                masks += encode(full > 0)
                stable.append(stability(full))
        judged = scores[best].cpu().numpy().astype(np.float32)
        return Segmented(tuple(masks), judged, np.concatenate(stable))

    def _everything(
        self, image: Pixels, fit: Fit
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return boxes (m, 4), scores (m,) and mask logits (m, h, w) of all found, last an empty
        one; boxes in pixels of the input."""
        from ultralytics.utils.nms import non_max_suppression

        pixels = torch.from_numpy(np.array(image)).to(self.device).permute(2, 0, 1)[None].float()
        (answer, protos), *_ = self.model(fit.padded(pixels / 255))
        (found,) = non_max_suppression(
            answer, MIN_SCORE, OVERLAP, nc=1, max_det=MOST, max_time_img=60.0
        )
        logits = torch.einsum("nc,chw->nhw", found[:, 6:], protos[0].float())
        nothing = torch.full_like(protos[0, :1], OUTSIDE, dtype=torch.float32)
        boxes, scores = F.pad(found[:, :4], (0, 0, 0, 1)), F.pad(found[:, 4], (0, 1))
        return boxes, scores, torch.cat([logits, nothing])


def inside(boxes_xyxy: torch.Tensor, size_hw: Sequence[int]) -> torch.Tensor:
    """Tell which pixels lie in each box, by their centres; bool (n, h, w)."""
    x = torch.arange(size_hw[1], device=boxes_xyxy.device) + 0.5
    y = torch.arange(size_hw[0], device=boxes_xyxy.device) + 0.5
    x1, y1, x2, y2 = (edge[:, None] for edge in boxes_xyxy.unbind(dim=1))
    return ((y >= y1) & (y < y2))[:, :, None] & ((x >= x1) & (x < x2))[:, None, :]


def overlaps(masks: torch.Tensor, boxes_xyxy: torch.Tensor) -> torch.Tensor:
    """Return the IoU of each box with each mask, (n, m).

    Args:
        masks: bool (m, h, w).
        boxes_xyxy: (n, 4), in pixels of the masks.
    """
    flat = masks.flatten(1).float()
    within = inside(boxes_xyxy, masks.shape[-2:]).flatten(1).float()
    both = within @ flat.T
    united = within.sum(dim=1)[:, None] + flat.sum(dim=1)[None] - both
    return both / united.clamp(min=1)
