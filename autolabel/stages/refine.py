"""Turn boxes into masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from autolabel import registry
from autolabel.config import RefineConfig
from autolabel.models.base import Segmented, Segmenter
from autolabel.ontology import Ontology
from autolabel.ops import masks
from autolabel.ops.arrays import Pixels
from autolabel.types import Objects, Record

EMPTY = "refine: empty mask"
"""Reason of an object in whose box the model finds nothing."""


class Refine:
    """Masks from boxes.

    Args:
        config: how candidates are chosen and cleaned.
        ontology: the classes, which it does not look at.
        models: the segmenter's files, under ``model``.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(
        self,
        config: RefineConfig,
        ontology: Ontology,
        models: Mapping[str, registry.Located],
        device: str,
    ) -> None:
        self.config = config
        self.batch_size = 1  # images go through the encoder one by one
        self.segmenter: Segmenter = registry.load(models["model"], device)

    def wants(self, record: Record) -> bool:
        """Want images with a kept box; the others are neither read nor encoded."""
        return record.usable and bool(record.objects.keep.any())

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return the same objects in the same order, those that are kept with masks."""
        return [
            replace(r, objects=masks_of(r.objects, r.image(), self.segmenter, self.config))
            for r in batch
        ]


def masks_of(
    objects: Objects,
    image: Pixels,
    segmenter: Segmenter,
    config: RefineConfig,
) -> Objects:
    """Return the objects with masks for those that are kept; see `merge`.

    Args:
        image: upright RGB, uint8 (height, width, 3).
    """
    boxes, (height, width) = objects.kept.xyxy, image.shape[:2]
    found = segmenter.segment(
        image, boxes, multimask=config.multimask, box_agreement=config.box_agreement
    )
    found = cleaned(found, boxes, height, width, config)
    return merge(objects, found, height, width, config.tighten)


def cleaned(
    found: Segmented,
    boxes_xyxy: npt.NDArray[np.float32],
    height: int,
    width: int,
    config: RefineConfig,
) -> Segmented:
    """Return the masks without overhang, specks and pinholes, as far as the config asks.

    One mask is dense at a time.
    """
    if config.box_margin is None and not config.min_speck and not config.fill_holes:
        return found
    tidy = []
    for counts, box in zip(found.masks, boxes_xyxy, strict=True):
        (mask,) = masks.decode([counts], height, width)
        if config.box_margin is not None:
            mask = masks.cut(mask, box, config.box_margin)
        tidy += masks.encode(masks.clean(mask, config.min_speck, config.fill_holes)[None])
    return replace(found, masks=tuple(tidy))


def merge(objects: Objects, found: Segmented, height: int, width: int, tighten: bool) -> Objects:
    """Return the objects with what was found for those of them that are kept.

    A rejected object keeps its place as it is. An object whose mask is empty is rejected and keeps
    its box.

    Args:
        objects: of the image; n of them are kept.
        found: masks of those n.
        height, width: of the image, pixels.
        tighten: whether boxes become those of their masks.
    """
    kept = np.flatnonzero(objects.keep)
    empty = masks.areas(found.masks, height, width) == 0
    mask, scores, reason = objects.mask.copy(), objects.scores.copy(), objects.reason.copy()
    keep, xyxy = objects.keep.copy(), objects.xyxy.copy()
    for i, counts, iou, stable in zip(
        kept, found.masks, found.iou.tolist(), found.stability.tolist(), strict=True
    ):
        mask[i] = counts
        scores[i] = {**scores[i], "sam_iou": iou, "sam_stability": stable}
    lost = kept[empty]
    mask[lost], keep[lost], reason[lost] = None, False, EMPTY
    if tighten:
        xyxy[kept[~empty]] = masks.boxes(found.masks, height, width)[~empty]
    return replace(objects, mask=mask, scores=scores, reason=reason, keep=keep, xyxy=xyxy)
