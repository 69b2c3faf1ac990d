"""One-to-many losses that let a small Grounding DINO learn from a random start.

The library's own loss gives its proposal head no gradient and matches one query to one object.
Here every layer is supervised densely, as in FCOS (arXiv:1904.01355) for the encoder's proposals
and by overlap for the decoder's queries; scores learn the overlap of their own box with the
object, as in VarifocalNet (arXiv:2008.13367). Duplicates are left to class-wise NMS.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from captions import Caption
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits
from torchvision.ops import box_convert, box_iou, generalized_box_iou_loss
from transformers import GroundingDinoForObjectDetection

#: Longer side (pixels of the network's input) of the objects that each feature level proposes.
LEVEL_SIDES = ((0, 42), (32, 100), (80, 1e9))
STRIDES = (8, 16, 32)
#: A query is positive from this overlap on.
POSITIVE_IOU = 0.6
LOWEST_TARGET = 0.3
NEGATIVE_WEIGHT = 0.75
#: Weight of an object by class: there are ten red cells to one of the others.
OBJECT_WEIGHTS = (1.0, 2.0, 2.0)
#: Weight of "not a red cell" where the photo's red cells are labelled incompletely.
UNSURE_WEIGHT = 0.25


@dataclass(frozen=True)
class Strictness:
    """How hard a query that finds nothing is judged.

    From `ignored_iou` to `POSITIVE_IOU` a query's score is left alone; below, it should be nought,
    with its chance to the power of `focus` as weight: 2 learns fast and scores high, 0 is plain
    cross-entropy, which brings the best score threshold down to about 0.3.
    """

    ignored_iou: float
    focus: float


LEARNING = Strictness(ignored_iou=0.4, focus=2.0)
SETTLING = Strictness(ignored_iou=0.5, focus=0.0)


@dataclass(frozen=True)
class Target:
    """One training image's labels and caption.

    `boxes` (N, 4) are centre-size in 0..1, `classes` (N,) indices into `bccd.CLASSES`,
    `unsure_classes` those whose objects the photo does not have all labelled.
    """

    boxes: Tensor
    classes: Tensor
    caption: Caption
    unsure_classes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Phrases:
    """The caption as tensors over T tokens, for one image.

    `named` (N, T): 1 where the token's phrase names the object; `weight` (T,): every phrase counts
    once, however many tokens it has, [CLS], [SEP] and stops count half; `sure` (T,): weight of a
    negative; `mentioned` (N,): the caption names the object at all.
    """

    named: Tensor
    weight: Tensor
    sure: Tensor
    mentioned: Tensor


def phrases_of(target: Target, token_count: int) -> Phrases:
    """Turn the caption's spans into per-token targets and weights."""
    named = torch.zeros(len(target.boxes), token_count)
    weight, sure = torch.zeros(token_count), torch.ones(token_count)
    weight[: len(target.caption.ids)] = 0.5
    for start, end, classes in target.caption.spans:
        weight[start:end] = 1 / (end - start)
        if classes:
            match = torch.isin(target.classes, torch.tensor(classes))
            named[:, start:end] = match[:, None].float()
        if set(classes) & set(target.unsure_classes):
            sure[start:end] = UNSURE_WEIGHT
    return Phrases(named, weight, sure, named.any(1))


def box_loss(predicted: Tensor, truth: Tensor, weight: Tensor) -> Tensor:
    """Sum over pairs (P, 4) of centre-size boxes of 2 GIoU + 5 L1, weighted (P,)."""
    corners = [box_convert(boxes, "cxcywh", "xyxy") for boxes in (predicted, truth)]
    giou = generalized_box_iou_loss(*corners)
    return ((2 * giou + 5 * (predicted - truth).abs().sum(1)) * weight).sum()


def score_loss(
    logits: Tensor,
    quality: Tensor,
    ignored: Tensor,
    importance: Tensor,
    phrases: Phrases,
    focus: float,
) -> Tensor:
    """Varifocal loss summed over (Q, T).

    `quality` is the target, `ignored` marks what is skipped, `importance` (Q,) weighs positives,
    `focus` is the exponent of `Strictness`.
    """
    valid = phrases.weight > 0
    logits, quality, ignored = logits[:, valid], quality[:, valid], ignored[:, valid]
    chance = logits.detach().sigmoid()
    negative = NEGATIVE_WEIGHT * chance.pow(focus) * phrases.sure[valid]
    weight = torch.where(quality > 0, importance[:, None], negative)
    weight = weight.masked_fill(ignored, 0.0) * phrases.weight[valid]
    return binary_cross_entropy_with_logits(logits, quality, weight=weight, reduction="sum")


def proposal_loss(
    logits: Tensor, coordinates: Tensor, size_wh: tuple[int, int], target: Target, phrases: Phrases
) -> tuple[Tensor, Tensor, float]:
    """Score loss, box loss and positives of the encoder's tokens, for one image.

    A token is positive for the smallest object of its level's sizes whose centre lies within one
    stride of it. `logits` (S, T), `coordinates` (S, 4) before the sigmoid.
    """
    owner = assign_proposals(target.boxes, phrases.mentioned, size_wh)
    positive = (owner >= 0).nonzero()[:, 0]
    mine = owner[positive]
    predicted, truth = coordinates[positive].sigmoid(), target.boxes[mine]
    overlap = paired_iou(predicted.detach(), truth).clamp(min=LOWEST_TARGET)
    quality = torch.zeros_like(logits)
    quality[positive] = phrases.named[mine] * overlap[:, None]
    weights = object_weights(target.classes)[mine]
    importance = torch.ones(len(logits)).index_copy(0, positive, weights)
    nothing = torch.zeros_like(quality, dtype=torch.bool)
    scores = score_loss(logits, quality, nothing, importance, phrases, LEARNING.focus)
    return scores, box_loss(predicted, truth, weights), float(weights.sum())


def assign_proposals(boxes: Tensor, mentioned: Tensor, size_wh: tuple[int, int]) -> Tensor:
    """Index of the object that each encoder token proposes, (S,), or -1."""
    scale = torch.tensor([*size_wh, *size_wh])
    pixels = boxes * scale
    longer = pixels[:, 2:].amax(1)
    areas = pixels[:, 2] * pixels[:, 3]
    owners = []
    for stride, (low, high) in zip(STRIDES, LEVEL_SIDES, strict=True):
        columns, rows = size_wh[0] // stride, size_wh[1] // stride
        y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        points = (torch.stack([x, y], -1).reshape(-1, 1, 2) + 0.5) * stride
        near = ((points - pixels[None, :, :2]).abs() < stride).all(-1)
        near &= mentioned & (longer >= low) & (longer < high)
        cost = areas.expand(near.shape).masked_fill(~near, torch.inf)
        best = cost.min(1) if len(boxes) else None
        empty = torch.full((len(points),), -1)
        owners.append(empty if best is None else torch.where(near.any(1), best.indices, empty))
    return torch.cat(owners)


def query_loss(
    logits: Tensor, predicted: Tensor, target: Target, phrases: Phrases, strictness: Strictness
) -> tuple[Tensor, Tensor, float]:
    """Score loss, box loss and positives of one decoder layer's queries, for one image.

    A query is positive where its box overlaps a named object with IoU of `POSITIVE_IOU` or more,
    and each object's best query always is; a little below, `strictness` decides.
    `logits` (Q, T), `predicted` (Q, 4) centre-size in 0..1.
    """
    quality = torch.zeros_like(logits)
    ignored = torch.zeros_like(quality, dtype=torch.bool)
    chosen = phrases.mentioned.nonzero()[:, 0]
    if not len(chosen):
        importance = torch.ones(len(logits))
        scores = score_loss(logits, quality, ignored, importance, phrases, strictness.focus)
        return scores, predicted.sum() * 0, 0.0
    truth = target.boxes[chosen]
    iou = box_iou(
        box_convert(predicted.detach(), "cxcywh", "xyxy"), box_convert(truth, "cxcywh", "xyxy")
    )
    overlap, mine = iou.max(1)
    best = iou.argmax(0)
    mine[best] = torch.arange(len(chosen))
    overlap = iou.gather(1, mine[:, None])[:, 0]
    positive = overlap >= POSITIVE_IOU
    positive[best] = True
    near = positive | (overlap >= strictness.ignored_iou)
    named = phrases.named[chosen[mine]]
    quality = named * (overlap.clamp(min=LOWEST_TARGET) * positive)[:, None]
    ignored = (named > 0) & (near & ~positive)[:, None]
    importance = object_weights(target.classes[chosen])[mine]
    scores = score_loss(logits, quality, ignored, importance, phrases, strictness.focus)
    weights = (importance * overlap.clamp(min=LOWEST_TARGET))[near]
    return scores, box_loss(predicted[near], truth[mine[near]], weights), float(weights.sum())


def object_weights(classes: Tensor) -> Tensor:
    """`OBJECT_WEIGHTS` of each object, (N,)."""
    return torch.tensor(OBJECT_WEIGHTS)[classes]


def paired_iou(a: Tensor, b: Tensor) -> Tensor:
    """IoU of centre-size boxes, row by row: (P, 4), (P, 4) -> (P,)."""
    a, b = (box_convert(boxes, "cxcywh", "xyxy") for boxes in (a, b))
    inner = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    overlap = inner.prod(1)
    union = (a[:, 2:] - a[:, :2]).prod(1) + (b[:, 2:] - b[:, :2]).prod(1) - overlap
    return overlap / union.clamp(min=1e-9)


def layer_outputs(
    model: GroundingDinoForObjectDetection, outputs: object, token_mask: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """Token logits (B, Q, T) and boxes (B, Q, 4) of every decoder layer, as the model has them."""
    text = outputs.encoder_last_hidden_state_text
    reference = outputs.init_reference_points
    layers = []
    for index, head in enumerate(model.bbox_embed):
        hidden = outputs.intermediate_hidden_states[:, index]
        logits = (hidden @ text.transpose(1, 2)).masked_fill(~token_mask[:, None], -20.0)
        boxes = (head(hidden) + torch.special.logit(reference, eps=1e-5)).sigmoid()
        layers.append((logits, boxes))
        reference = outputs.intermediate_reference_points[:, index]
    return layers


def detector_loss(
    model: GroundingDinoForObjectDetection,
    outputs: object,
    token_mask: Tensor,
    targets: list[Target],
    size_wh: tuple[int, int],
    strictness: Strictness,
) -> dict[str, Tensor]:
    """Losses of the encoder's proposals and of every decoder layer, each per positive."""
    length = token_mask.shape[1]
    phrases = [phrases_of(target, length) for target in targets]
    logits = outputs.enc_outputs_class[..., :length].masked_fill(~token_mask[:, None], -20.0)
    coordinates = outputs.enc_outputs_coord_logits
    parts = [
        proposal_loss(logits[i], coordinates[i], size_wh, target, phrases[i])
        for i, target in enumerate(targets)
    ]
    losses = dict(zip(("proposal_score", "proposal_box"), mean_parts(parts), strict=True))
    for index, (scores, boxes) in enumerate(layer_outputs(model, outputs, token_mask)):
        parts = [
            query_loss(scores[i], boxes[i], target, phrases[i], strictness)
            for i, target in enumerate(targets)
        ]
        names = (f"query_score_{index}", f"query_box_{index}")
        losses |= dict(zip(names, mean_parts(parts), strict=True))
    return losses


def mean_parts(parts: list[tuple[Tensor, Tensor, float]]) -> tuple[Tensor, Tensor]:
    """Score and box losses of a batch over its number of positives."""
    scores, boxes, counts = zip(*parts, strict=True)
    count = max(sum(counts), 1.0)
    return sum(scores) / count, sum(boxes) / count
