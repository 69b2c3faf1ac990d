"""The filter's rules: each looks at the labels of one image and says which go, and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.config import FilterConfig
from autolabel.errors import UsageError, suggest
from autolabel.ops import masks
from autolabel.ops.boxes import box_areas
from autolabel.stages.filter.evidence import Chances, Distances
from autolabel.types import Record

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Probed:
    """What the probe on example crops says of each label.

    Attributes:
        name: the likeliest name, (n,).
        chance: its chance, (n,).
        known: names that are classes of the ontology.
    """

    name: npt.NDArray[np.object_]
    chance: Floats
    known: frozenset[str]


@dataclass(frozen=True, eq=False)
class Scene:
    """One image's labels and what is known of them.

    Attributes:
        record: the image.
        alive: labels that no rule has rejected yet, (n,).
        chances, distances, probed: evidence, where it was gathered.
    """

    record: Record
    alive: Bools
    chances: Chances | None = None
    distances: Distances | None = None
    probed: Probed | None = None

    @property
    def sides_wh(self) -> Floats:
        """Width and height of each box in pixels, (n, 2)."""
        boxes = self.record.objects.xyxy.astype(np.float64)
        sides: Floats = boxes[:, 2:] - boxes[:, :2]
        return sides


Verdict = tuple[Bools, Sequence[str]]
"""Which labels a rule rejects, (n,), and for each the figure that does it."""

Rule = Callable[[Scene, FilterConfig], Verdict]


def _under(values: Any, limit: Any, unit: str = "", digits: str = ".2f") -> Verdict:
    limits = np.broadcast_to(np.asarray(limit, np.float64), np.shape(values))
    figures = [f"{v:{digits}}{unit} < {x:g}" for v, x in zip(values, limits, strict=True)]
    return np.asarray(values) < limits, figures


def _over(values: Any, limit: float, unit: str = "", digits: str = ".2f") -> Verdict:
    return np.asarray(values) > limit, [f"{v:{digits}}{unit} > {limit:g}" for v in values]


# -- geometry -----------------------------------------------------------------------------------


def _min_score(scene: Scene, config: FilterConfig) -> Verdict:
    objects = scene.record.objects
    limits = [config.class_min_score.get(label, config.min_score) for label in objects.label]
    # A threshold of 0.3 means what a reader of the stored single precision takes for 0.3.
    return _under(objects.score, np.asarray(limits, np.float32))


def _min_side(scene: Scene, config: FilterConfig) -> Verdict:
    return _under(scene.sides_wh.min(axis=1), config.min_side, " px", ".3g")


def _max_aspect(scene: Scene, config: FilterConfig) -> Verdict:
    sides = scene.sides_wh
    return _over(sides.max(axis=1) / np.maximum(sides.min(axis=1), 1e-9), config.max_aspect)


def _min_area(scene: Scene, config: FilterConfig) -> Verdict:
    return _under(box_areas(scene.record.objects.xyxy), config.min_area, " px²", ".0f")


def _share(scene: Scene) -> Floats:
    record = scene.record
    return box_areas(record.objects.xyxy) / max(record.width * record.height, 1)


def _min_share(scene: Scene, config: FilterConfig) -> Verdict:
    return _under(_share(scene), config.min_share, digits=".4f")


def _max_share(scene: Scene, config: FilterConfig) -> Verdict:
    return _over(_share(scene), config.max_share, digits=".3f")


def _border(scene: Scene, config: FilterConfig) -> Verdict:
    record = scene.record
    boxes = record.objects.xyxy.astype(np.float64)
    gaps = np.concatenate([boxes[:, :2], [record.width, record.height] - boxes[:, 2:]], axis=1)
    nearest = gaps.min(axis=1)
    figures = [f"{gap:.3g} px <= {config.border:g}" for gap in nearest]
    return nearest <= config.border, figures


def _mask_fill(scene: Scene, config: FilterConfig) -> Verdict:
    record = scene.record
    known = np.array([rle is not None for rle in record.objects.mask], bool)
    found = np.full(len(known), np.nan)
    found[known] = masks.areas(record.objects.mask[known].tolist(), record.height, record.width)
    fill = found / np.maximum(box_areas(record.objects.xyxy), 1e-9)
    return _under(fill, config.mask_fill)  # a label without a mask is not under any limit


# -- evidence -----------------------------------------------------------------------------------


def _nothing(scene: Scene) -> Verdict:
    n = len(scene.record.objects)
    return np.zeros(n, bool), [""] * n


def _clip_class(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.chances
    if found is None:
        return _nothing(scene)
    figures = [
        f"{other} {own - margin:.2f} > {own:.2f}"
        for other, own, margin in zip(found.other, found.own, found.margin, strict=True)
    ]
    return found.margin < 0, figures


def _clip_score(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.chances
    return _nothing(scene) if found is None else _under(found.own, config.clip_score)


def _clip_margin(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.chances
    return _nothing(scene) if found is None else _under(found.margin, config.clip_margin)


def _clip_image(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.chances
    return _nothing(scene) if found is None else _under(found.whole, config.clip_image)


def _dinov2_class(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.distances
    if found is None:
        return _nothing(scene)
    over, figures = _over(found.ratio, config.dinov2_class)
    return over, [f"nearer to {o}, {f}" for o, f in zip(found.other, figures, strict=True)]


def _dinov2_distance(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.distances
    return _nothing(scene) if found is None else _over(found.own, config.dinov2_distance)


def _examples(scene: Scene, config: FilterConfig) -> Verdict:
    found = scene.probed
    if found is None:
        return _nothing(scene)
    labels = scene.record.objects.label
    wrong = (found.name != labels) & (found.chance >= config.probe_sure)
    figures = [f"{n} {c:.2f}" for n, c in zip(found.name, found.chance, strict=True)]
    return wrong.astype(bool), figures


# -- overlap ------------------------------------------------------------------------------------


def _pairs(scene: Scene) -> tuple[Floats, Floats]:
    """Shared square pixels of each pair of boxes, (n, n), and each box's own, (n,)."""
    boxes = scene.record.objects.xyxy.astype(np.float64)
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared: Floats = np.clip(high - low, 0, None).prod(axis=2)
    return shared, box_areas(boxes)


def _suppressed(scene: Scene, limit: float, competes: Bools) -> Verdict:
    """Greedy non-maximum suppression among the labels that are alive.

    Args:
        scene: the labels.
        limit: IoU over which the lower-scored of two goes.
        competes: which pairs of labels compete, (n, n).
    """
    shared, areas = _pairs(scene)
    iou = shared / np.maximum(areas[:, None] + areas[None] - shared, 1e-9)
    n = len(areas)
    gone, figures = np.zeros(n, bool), [""] * n
    for i in np.argsort(-scene.record.objects.score, kind="stable"):
        if gone[i] or not scene.alive[i]:
            continue
        beaten = competes[i] & scene.alive & ~gone & (iou[i] > limit)
        beaten[i] = False
        for j in np.flatnonzero(beaten):
            figures[j] = f"{iou[i, j]:.2f} > {limit:g} with {scene.record.objects.label[i]}"
            gone[j] = True
    return gone, figures


def _same_class(scene: Scene) -> Bools:
    labels = scene.record.objects.label
    same: Bools = (labels[:, None] == labels[None]).astype(bool)
    return same


def _nms_iou(scene: Scene, config: FilterConfig) -> Verdict:
    return _suppressed(scene, config.nms_iou, _same_class(scene))


def _cross_nms_iou(scene: Scene, config: FilterConfig) -> Verdict:
    return _suppressed(scene, config.cross_nms_iou, ~_same_class(scene))


def _inside(scene: Scene, config: FilterConfig) -> Verdict:
    """Of two equal boxes the later goes, so that one is left."""
    shared, areas = _pairs(scene)
    n = len(areas)
    place = np.arange(n)
    larger = (areas[None] > areas[:, None]) | (
        (areas[None] == areas[:, None]) & (place[None] < place[:, None])
    )
    holds = larger & _same_class(scene) & scene.alive[None]
    share = (shared / np.maximum(areas[:, None], 1e-9) * holds).max(axis=1, initial=0.0)
    return share >= config.inside, [f"{s:.2f} >= {config.inside:g}" for s in share]


RULES: Mapping[str, Rule] = {
    "min_score": _min_score,
    "min_side": _min_side,
    "max_aspect": _max_aspect,
    "min_area": _min_area,
    "min_share": _min_share,
    "max_share": _max_share,
    "border": _border,
    "mask_fill": _mask_fill,
    "clip_class": _clip_class,
    "clip_score": _clip_score,
    "clip_margin": _clip_margin,
    "clip_image": _clip_image,
    "dinov2_class": _dinov2_class,
    "dinov2_distance": _dinov2_distance,
    "examples": _examples,
    "nms_iou": _nms_iou,
    "cross_nms_iou": _cross_nms_iou,
    "inside": _inside,
}
"""Name of the option that turns a rule on -> the rule, in the order in which they are applied."""

GROUP = "max_per_group"
"""The one rule that is about whole images, and so no member of `RULES`."""


def active(config: FilterConfig) -> list[str]:
    """The rules that are on, in the order in which they are applied.

    Raises:
        UsageError: `rules` names one that there is not, or one twice, or one that is off.
    """
    on = [name for name in RULES if _is_on(name, config)]
    for i, name in enumerate(config.rules):
        if name not in RULES:
            raise UsageError(
                f"there is no rule {name!r}", hint=suggest(name, list(RULES), "the rules are")
            )
        if name in config.rules[:i]:
            raise UsageError(f"rule {name!r} is named twice", hint="name each rule once")
        if name not in on:
            raise UsageError(
                f"rule {name!r} is named but off", hint=f"set {name}, or leave it out of the rules"
            )
    return list(config.rules) or on


def _is_on(name: str, config: FilterConfig) -> bool:
    off = FilterConfig.model_fields[name].default
    if name == "min_score" and config.class_min_score:
        return True
    return bool(getattr(config, name) != off)
