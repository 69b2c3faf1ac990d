"""All the masks that SAM's decoder can give for a box, and what is wrong with them.

Over a whole image a nucleus is one pixel in five hundred, and plain focal and dice losses leave
every mask empty. So the losses count inside 1.8 times the box, in proportion to its area. What lies
farther off must count too, else the masks spread to the neighbours; but from the first step on it
again leaves every mask empty, so it comes in little by little.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from transformers import SamModel

NEAR = 1.8
#: Weight of a pixel that is not near, and the most that it may be of a near pixel's.
FAR_WEIGHT, FAR_SHARE = 1 / 3000, 0.25
#: Of the three alternative masks the best learns; the others a little, so that none dies.
OTHERS = 0.05


def decode_all(
    model: SamModel, embeddings: torch.Tensor, positions: torch.Tensor, boxes_xyxy: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The single mask and the three alternatives of every box.

    `SamModel` gives the one or the others; to train both they are wanted from one pass.

    Args:
        model: the segmenter.
        embeddings: (n, channels, h, w), each box's image or a window of it.
        positions: (n, channels, h, w), their positional embeddings.
        boxes_xyxy: (n, 4), in pixels of the model's input.

    Returns:
        Mask logits (n, 4, 4 * h, 4 * w) and predicted IoU (n, 4).
    """
    decoder = model.mask_decoder
    corners = model.prompt_encoder._embed_boxes(boxes_xyxy[:, None])
    dense = model.prompt_encoder.no_mask_embed.weight.view(1, -1, 1, 1)
    own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight])
    tokens = torch.cat([own.expand(len(boxes_xyxy), 1, -1, -1), corners], dim=2)
    count, channels, height, width = embeddings.shape
    tokens, image = decoder.transformer(
        point_embeddings=tokens,
        image_embeddings=embeddings + dense,
        image_positional_embeddings=positions,
        attention_similarity=None,
    )
    image = image.transpose(2, 3).reshape(count, channels, height, width)
    image = decoder.activation(decoder.upscale_layer_norm(decoder.upscale_conv1(image)))
    image = decoder.activation(decoder.upscale_conv2(image))
    heads = decoder.output_hypernetworks_mlps
    weights = torch.stack([head(tokens[:, 0, 1 + i]) for i, head in enumerate(heads)], dim=1)
    masks = (weights @ image.flatten(2)).view(count, len(heads), *image.shape[-2:])
    return masks, decoder.iou_prediction_head(tokens[:, 0, 0])


def near_boxes(boxes_xyxy: torch.Tensor, side: int, stride: int) -> torch.Tensor:
    """Which mask pixels lie inside `NEAR` times each box, bool (n, side, side).

    Args:
        boxes_xyxy: (n, 4), in pixels of the model's input, from the same corner as the masks.
        side: of the masks.
        stride: input pixels to a mask pixel.
    """
    centre = (boxes_xyxy[:, :2] + boxes_xyxy[:, 2:]) / 2
    half = (boxes_xyxy[:, 2:] - boxes_xyxy[:, :2]) / 2 * NEAR
    middles = (torch.arange(side) + 0.5) * stride
    in_x = (middles - centre[:, :1]).abs() <= half[:, :1]
    in_y = (middles - centre[:, 1:]).abs() <= half[:, 1:]
    return in_y[:, :, None] & in_x[:, None, :]


def mask_losses(
    logits: torch.Tensor, truth: torch.Tensor, near: torch.Tensor, far: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Loss and IoU of every candidate.

    Args:
        logits: (n, k, h, w).
        truth: share of each mask pixel that belongs to the object, float (n, h, w).
        near: bool (n, h, w), from `near_boxes`.
        far: how much of its weight what is not near has by now, in [0, 1].

    Returns:
        Cross-entropy plus dice, (n, k), and the IoU of the candidates as they stand, (n, k).
    """
    target = truth[:, None].expand_as(logits)
    close = near[:, None].to(logits.dtype)
    each = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    close_weight = 1 / close.sum((2, 3), keepdim=True)
    far_weight = (FAR_SHARE * close_weight).clamp(max=FAR_WEIGHT) * far
    entropy = (each * torch.where(near[:, None], close_weight, far_weight)).sum((2, 3))
    chance = logits.sigmoid() * close
    overlap = (chance * target).sum((2, 3))
    dice = 1 - (2 * overlap + 1) / (chance.sum((2, 3)) + (target * close).sum((2, 3)) + 1)
    found, real = logits.detach() > 0, truth[:, None] >= 0.5
    iou = (found & real).sum((2, 3)) / (found | real).sum((2, 3)).clamp(min=1)
    return entropy + dice, iou


def segmenter_loss(
    logits: torch.Tensor,
    predicted_iou: torch.Tensor,
    truth: torch.Tensor,
    near: torch.Tensor,
    far: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss to minimise, a scalar, and the IoU of the single mask, (n,)."""
    losses, iou = mask_losses(logits, truth, near, far)
    single, others = losses[:, 0], losses[:, 1:]
    masks = single + others.min(dim=1).values + OTHERS * others.mean(dim=1)
    return masks.mean() + F.mse_loss(predicted_iou, iou), iou[:, 0]
