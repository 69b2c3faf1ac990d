"""Turn boxes into masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt

from autolabel import registry
from autolabel.config import EngineConfig, RefineConfig
from autolabel.models.base import Segmented, Segmenter
from autolabel.ontology import Ontology
from autolabel.ops import masks
from autolabel.ops.arrays import Bools, Pixels
from autolabel.stages.corrected import refresh
from autolabel.stages.running import (
    Reporter,
    StageResult,
    binding,
    check_ready,
    derive,
    existing_root,
    locate,
    run_over,
    silent,
)
from autolabel.stages.table import CORRECTIONS, REFINED, STAGES
from autolabel.store import Layer, Workspace
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
        """Want images with a box to refine; the others are neither read nor encoded."""
        return record.usable and bool(to_refine(record.objects).any())

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return the same objects in the same order, those that are kept with masks."""
        return [
            replace(r, objects=masks_of(r.objects, r.image(), self.segmenter, self.config))
            for r in batch
        ]


def to_refine(objects: Objects) -> Bools:
    """Tell which boxes become masks: those that are kept, but for masks that people left so."""
    return objects.keep & ~(objects.locked & has_mask(objects))


def has_mask(objects: Objects) -> Bools:
    """Tell which objects have a mask, (n,)."""
    return np.array([mask is not None for mask in objects.mask], bool)


def masks_of(
    objects: Objects,
    image: Pixels,
    segmenter: Segmenter,
    config: RefineConfig,
) -> Objects:
    """Return the objects with masks for those of `to_refine`; see `merge`.

    Args:
        image: upright RGB, uint8 (height, width, 3).
    """
    boxes, (height, width) = objects.xyxy[to_refine(objects)], image.shape[:2]
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
    """Return the objects with what was found for those of `to_refine`.

    A rejected object keeps its place as it is. An object whose mask is empty is rejected and keeps
    its box. What people left gets a mask, if there is one, and nothing else of it changes.

    Args:
        objects: of the image; n of them are to be refined.
        found: masks of those n.
        height, width: of the image, pixels.
        tighten: whether boxes become those of their masks.
    """
    chosen = np.flatnonzero(to_refine(objects))
    drawn = masks.areas(found.masks, height, width) > 0
    mask, scores, reason = objects.mask.copy(), objects.scores.copy(), objects.reason.copy()
    keep, xyxy, locked = objects.keep.copy(), objects.xyxy.copy(), objects.locked[chosen]
    for i, counts, iou, stable in zip(
        chosen, found.masks, found.iou.tolist(), found.stability.tolist(), strict=True
    ):
        mask[i] = counts
        scores[i] = {**scores[i], "sam_iou": iou, "sam_stability": stable}
    mask[chosen[~drawn]] = None
    lost = chosen[~drawn & ~locked]
    keep[lost], reason[lost] = False, EMPTY
    if tighten:
        xyxy[chosen[drawn & ~locked]] = masks.boxes(found.masks, height, width)[drawn & ~locked]
    return replace(objects, mask=mask, scores=scores, reason=reason, keep=keep, xyxy=xyxy)


def refine(
    workspace: Workspace,
    config: RefineConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> StageResult:
    """Turn boxes into masks: the layer `refine`, and `refine_corrections` of what people drew.

    Args:
        workspace: has labels of a machine, of people, or of both.
        config: how candidates are chosen and cleaned.
        engine: how it runs.
        from_layer: the labels; `corrections` for those of people alone.
        overwrite: whether settings that differ from those of the layers replace them.
        report: called when work begins.

    Raises:
        AutolabelError: there is no model or source layer, or the settings differ.
    """
    entry = STAGES["refine"]
    refresh(workspace)
    people = _boxes_without_masks(workspace)
    usual = from_layer in (None, *entry.reads)
    alone = usual and not workspace.layer(entry.reads[0]).exists
    if people is None or not (alone or from_layer == CORRECTIONS):
        done = run_over(
            entry, workspace, config, engine,
            from_layer=from_layer, overwrite=overwrite, report=report,
        )  # fmt: skip
        if people is None or not usual:
            return done
        more = _refine_people(workspace, people, config, engine, overwrite, report)
        return replace(done, images=done.images + more.images, unread=done.unread + more.unread)
    return _refine_people(workspace, people, config, engine, overwrite, report)


def _boxes_without_masks(workspace: Workspace) -> Layer | None:
    """Return people's labels if boxes among them have no mask."""
    layer = workspace.layer(CORRECTIONS)
    if not layer.exists:
        return None
    return layer if any(to_refine(r.objects).any() for r in layer.records()) else None


def _refine_people(
    workspace: Workspace,
    source: Layer,
    config: RefineConfig,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
) -> StageResult:
    entry = STAGES["refine"]
    with workspace.lock():
        check_ready(workspace, source)
        models = locate(entry, config)
        make = partial(Refine, config, Ontology({}), models, engine.device)
        return derive(
            workspace, REFINED, source, binding(entry, config, models), make,
            existing_root(workspace), engine, overwrite, report, pixels=True,
        )  # fmt: skip
