"""The built-in rules, in the order in which they are applied.

To add one, write a function of its option's name here, and that option in `FilterConfig` with a
default that is off. What a rule does is the help of its option.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from autolabel.ops import masks
from autolabel.ops.arrays import Bools, Floats
from autolabel.ops.boxes import box_areas
from autolabel.stages.filter.rule import Evidence, Reject, Rejected, Rule, RuleInput, over, under

BUILT_IN: dict[str, Rule] = {}
"""Name of the option that turns a rule on -> the rule."""


def _rule(needs: Evidence | None = None) -> Callable[[Reject], Reject]:
    """Put a function into `BUILT_IN`, under its own name."""

    def add(reject: Reject) -> Reject:
        BUILT_IN[reject.__name__] = Rule(reject, needs)
        return reject

    return add


# -- geometry -----------------------------------------------------------------------------------


@_rule()
def min_score(image: RuleInput, limit: float) -> Rejected:
    objects, of_class = image.record.objects, image.config.class_min_score
    limits = [of_class.get(label, limit) for label in objects.label]
    # A threshold of 0.3 means what a reader of the stored single precision takes for 0.3.
    return under(objects.score, np.asarray(limits, np.float32))


@_rule()
def min_side(image: RuleInput, limit: float) -> Rejected:
    return under(image.sides_wh.min(axis=1), limit, " px", ".3g")


@_rule()
def max_aspect(image: RuleInput, limit: float) -> Rejected:
    sides = image.sides_wh
    return over(sides.max(axis=1) / np.maximum(sides.min(axis=1), 1e-9), limit)


@_rule()
def min_area(image: RuleInput, limit: float) -> Rejected:
    return under(box_areas(image.record.objects.xyxy), limit, " px²", ".0f")


def _share(image: RuleInput) -> Floats:
    record = image.record
    return box_areas(record.objects.xyxy) / max(record.width * record.height, 1)


@_rule()
def min_share(image: RuleInput, limit: float) -> Rejected:
    return under(_share(image), limit, digits=".4f")


@_rule()
def max_share(image: RuleInput, limit: float) -> Rejected:
    return over(_share(image), limit, digits=".3f")


@_rule()
def border(image: RuleInput, limit: float) -> Rejected:
    record = image.record
    boxes = record.objects.xyxy.astype(np.float64)
    gaps = np.concatenate([boxes[:, :2], [record.width, record.height] - boxes[:, 2:]], axis=1)
    nearest = gaps.min(axis=1)
    return nearest <= limit, [f"{gap:.3g} px <= {limit:g}" for gap in nearest]


@_rule()
def mask_fill(image: RuleInput, limit: float) -> Rejected:
    record = image.record
    known = np.array([rle is not None for rle in record.objects.mask], bool)
    found = np.full(len(known), np.nan)
    found[known] = masks.areas(record.objects.mask[known].tolist(), record.height, record.width)
    fill = found / np.maximum(box_areas(record.objects.xyxy), 1e-9)
    return under(fill, limit)  # a label without a mask is not under any limit


# -- evidence -----------------------------------------------------------------------------------


@_rule(needs="probabilities")
def clip_class(image: RuleInput, on: bool) -> Rejected:
    found = image.probabilities
    figures = [
        f"{other} {own - margin:.2f} > {own:.2f}"
        for other, own, margin in zip(found.other, found.own, found.margin, strict=True)
    ]
    return found.margin < 0, figures


@_rule(needs="probabilities")
def clip_score(image: RuleInput, limit: float) -> Rejected:
    return under(image.probabilities.own, limit)


@_rule(needs="probabilities")
def clip_margin(image: RuleInput, limit: float) -> Rejected:
    return under(image.probabilities.margin, limit)


@_rule(needs="probabilities")
def clip_image(image: RuleInput, limit: float) -> Rejected:
    return under(image.probabilities.whole, limit)


@_rule(needs="distances")
def dinov2_class(image: RuleInput, limit: float) -> Rejected:
    found = image.distances
    far, figures = over(found.ratio, limit)
    return far, [f"nearer to {o}, {f}" for o, f in zip(found.other, figures, strict=True)]


@_rule(needs="distances")
def dinov2_distance(image: RuleInput, limit: float) -> Rejected:
    return over(image.distances.own, limit)


@_rule(needs="probe")
def examples(image: RuleInput, folder: str) -> Rejected:
    found = image.probe
    sure = found.probability >= image.config.probe_sure
    wrong = (found.name != image.record.objects.label) & sure
    figures = [f"{n} {p:.2f}" for n, p in zip(found.name, found.probability, strict=True)]
    return wrong.astype(bool), figures


# -- overlap ------------------------------------------------------------------------------------


def _shared(image: RuleInput) -> tuple[Floats, Floats]:
    """Return the square pixels that each pair of boxes shares, (n, n), and each box's own, (n,)."""
    boxes = image.record.objects.xyxy.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared: Floats = np.clip(high - low, 0, None).prod(axis=2)
    return shared, box_areas(boxes)


def _suppressed(image: RuleInput, limit: float, competes: Bools) -> Rejected:
    """Suppress greedily, among the labels that are alive, what overlaps a higher-scored one.

    Args:
        image: the labels.
        limit: IoU over which the lower-scored of two goes.
        competes: which pairs of labels compete, (n, n).
    """
    shared, areas = _shared(image)
    iou = shared / np.maximum(areas[:, None] + areas[None] - shared, 1e-9)
    n = len(areas)
    gone, figures = np.zeros(n, bool), [""] * n
    for i in np.argsort(-image.record.objects.score, kind="stable"):
        if gone[i] or not image.alive[i]:
            continue
        beaten = competes[i] & image.alive & ~gone & (iou[i] > limit)
        beaten[i] = False
        for j in np.flatnonzero(beaten):
            figures[j] = f"{iou[i, j]:.2f} > {limit:g} with {image.record.objects.label[i]}"
            gone[j] = True
    return gone, figures


def _same_class(image: RuleInput) -> Bools:
    labels = image.record.objects.label
    same: Bools = (labels[:, None] == labels[None]).astype(bool)
    return same


@_rule()
def nms_iou(image: RuleInput, limit: float) -> Rejected:
    return _suppressed(image, limit, _same_class(image))


@_rule()
def cross_nms_iou(image: RuleInput, limit: float) -> Rejected:
    return _suppressed(image, limit, ~_same_class(image))


@_rule()
def inside(image: RuleInput, limit: float) -> Rejected:
    """Of two equal boxes the later goes, so that one is left."""
    shared, areas = _shared(image)
    n = len(areas)
    place = np.arange(n)
    larger = (areas[None] > areas[:, None]) | (
        (areas[None] == areas[:, None]) & (place[None] < place[:, None])
    )
    holds = larger & _same_class(image) & image.alive[None]
    share = (shared / np.maximum(areas[:, None], 1e-9) * holds).max(axis=1, initial=0.0)
    return share >= limit, [f"{s:.2f} >= {limit:g}" for s in share]
