"""From SAM's mask logits to the masks of an image: which candidate, at what size, how stable."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torchvision.ops import box_iou

from autolabel.models.base import Segmented
from autolabel.ops.arrays import Vectors
from autolabel.ops.masks import encode, stability

BOXES_PER_PASS = 64
"""Boxes that the decoder takes at a time."""

PIXELS_PER_PASS = 16_000_000
"""Mask pixels brought to an image's size at a time, 64 MB of logits."""

Decode = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]
"""Boxes (n, 4) in pixels of the encoder's input to mask logits (n, k, h, w) and IoU (n, k)."""

Upscale = Callable[[torch.Tensor], torch.Tensor]
"""Mask logits (n, 1, h, w) as the model gives them to (n, 1, height, width) of the image."""


def in_passes(
    boxes: torch.Tensor,
    decode: Decode,
    upscale: Upscale,
    side: int,
    pixels: int,
    box_agreement: float,
) -> Segmented:
    """Decode boxes, a limited number at a time, and choose a mask for each; see `finish`.

    Args:
        boxes: the prompts (n, 4), xyxy, in pixels of the encoder's input; n is not 0.
        decode: the model's decoder, for one image.
        upscale: the model's way to the image's size.
        side: of the encoder's square input, pixels.
        pixels: of one mask while it is enlarged, for the memory it takes.
        box_agreement: see `choose`.
    """
    passes = [decode(part) for part in torch.split(boxes, BOXES_PER_PASS)]
    logits, judged = (torch.cat(found) for found in zip(*passes, strict=True))
    low = boxes * (logits.shape[-1] / side)
    return finish(logits, judged, low, upscale, pixels, box_agreement)


def finish(
    logits: torch.Tensor,
    predicted_iou: torch.Tensor,
    boxes: torch.Tensor,
    upscale: Upscale,
    pixels: int,
    box_agreement: float,
) -> Segmented:
    """Choose a candidate for every box and bring it to the image's size.

    Only the chosen one is enlarged, a few at a time.

    Args:
        logits: candidates (n, k, h, w), above zero inside a mask.
        predicted_iou: the model's own judgement of them, (n, k).
        boxes: the prompts, xyxy, in pixels of the logits, (n, 4).
        upscale: the model's way to the image's size.
        pixels: of one mask while it is enlarged, for the memory it takes.
        box_agreement: see `choose`.
    """
    best = choose(logits, predicted_iou, boxes, box_agreement)
    rows = torch.arange(len(best), device=best.device)
    chosen = logits[rows, best][:, None]
    masks: list[bytes] = []
    stable: list[Vectors] = []
    for part in torch.split(chosen, max(1, PIXELS_PER_PASS // pixels)):
        full = upscale(part)[:, 0].float().cpu().numpy()
        masks += encode(full > 0)
        stable.append(stability(full))
    judged = predicted_iou[rows, best].float().cpu().numpy()
    return Segmented(tuple(masks), judged, np.concatenate(stable))


def choose(
    logits: torch.Tensor, predicted_iou: torch.Tensor, boxes: torch.Tensor, box_agreement: float
) -> torch.Tensor:
    """Return the best candidate by predicted IoU, of those whose own box agrees with the prompt.

    A model that judges by looks alone may prefer the whole that a box is a part of, or a part of
    what the box is around. Where no candidate agrees, the one that agrees best is taken.

    Args:
        logits: (n, k, h, w).
        predicted_iou: (n, k).
        boxes: the prompts, xyxy, in pixels of the logits, (n, 4).
        box_agreement: lowest IoU of a candidate's box and the prompt; 0 accepts all.

    Returns:
        Indices (n,).
    """
    found = mask_boxes(logits > 0)
    # To whole pixels outwards: of a small object, a mask's box is no finer than this.
    prompt = torch.cat([boxes[:, :2].floor(), boxes[:, 2:].ceil()], dim=1)[:, None]
    # One to one, as torchvision 0.23 takes no more than every box with every other.
    agreement: torch.Tensor = torch.vmap(box_iou)(found, prompt)[..., 0].nan_to_num()
    ruled_out = agreement < box_agreement
    guarded = predicted_iou.float().masked_fill(ruled_out, -torch.inf)
    return torch.where(ruled_out.all(dim=1), agreement.argmax(dim=1), guarded.argmax(dim=1))


def mask_boxes(masks: torch.Tensor) -> torch.Tensor:
    """Return smallest box around each mask, xyxy, half-open; zeros for an empty one.

    Args:
        masks: bool (n, k, h, w).

    Returns:
        Float (n, k, 4).
    """
    edges = []
    for along in (masks.any(dim=2), masks.any(dim=3)):
        seen, size = along.int(), along.shape[-1]
        first, last = seen.argmax(dim=-1), size - seen.flip(-1).argmax(dim=-1)
        edges.append((first, torch.where(along.any(dim=-1), last, 0)))
    (x1, x2), (y1, y2) = edges
    return torch.stack([x1, y1, x2, y2], dim=-1).float()
