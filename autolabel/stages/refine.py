"""Turn boxes into masks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autolabel import registry
from autolabel.config import EngineConfig, RefineConfig
from autolabel.models.base import Segmented, Segmenter
from autolabel.ops import masks
from autolabel.stages.history import ontology_of
from autolabel.stages.pixels import Photos
from autolabel.stages.running import (
    Reporter,
    StageResult,
    check_ready,
    derive,
    existing_root,
    silent,
)
from autolabel.store import Manifest, Workspace
from autolabel.types import Objects, Record

EMPTY = "refine: empty mask"
"""Reason of an object in whose box the model finds nothing."""


class Refine:
    """Masks from boxes.

    Args:
        config: how candidates are chosen and cleaned.
        located: the segmenter's files.
        source_root: folder that uris are relative to.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(
        self, config: RefineConfig, located: registry.Located, source_root: Path, device: str
    ) -> None:
        self.config = config
        self.photos = Photos(source_root)
        self.batch_size = 1  # images go through the encoder one by one
        self.segmenter: Segmenter = registry.load(located, device)

    def wants(self, record: Record) -> bool:
        """Images with a kept box; the others are neither read nor encoded."""
        return record.usable and bool(record.objects.keep.any())

    def prepare(self, record: Record) -> Record:
        """Read the pixels."""
        return self.photos.read(record)

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """The same objects in the same order, those that are kept with masks."""
        return [replace(record, objects=self._refined(record)) for record in batch]

    def _refined(self, record: Record) -> Objects:
        boxes = record.objects.kept.xyxy
        found = self.segmenter.segment(
            record.image(),
            boxes,
            multimask=self.config.multimask,
            box_agreement=self.config.box_agreement,
        )
        found = cleaned(found, boxes, record.height, record.width, self.config)
        return merge(record.objects, found, record.height, record.width, self.config.tighten)


def cleaned(
    found: Segmented,
    boxes_xyxy: npt.NDArray[np.float32],
    height: int,
    width: int,
    config: RefineConfig,
) -> Segmented:
    """The masks without overhang, specks and pinholes, as far as the config asks.

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
    """The objects with what was found for those of them that are kept.

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


def refine(
    workspace: Workspace,
    config: RefineConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> StageResult:
    """Boxes to masks: the layer `refine`, by default of what `detect` found.

    Raises:
        AutolabelError: there is no model or no layer with labels, or the settings differ.
    """
    workspace.require(from_layer or "detect")
    with workspace.lock():
        source = workspace.require(from_layer or "detect")
        ontology = ontology_of(source)  # a layer without labels has no boxes
        check_ready(workspace, source)
        located, manifest = refinement(config)
        origin = {**manifest.origin, "ontology": ontology.to_mapping()}
        manifest = replace(manifest, origin=origin)
        root = existing_root(workspace)
        make = partial(Refine, config, located, root, engine.device)
        return derive(workspace, "refine", source, manifest, make, root, engine, overwrite, report)


def refinement(config: RefineConfig) -> tuple[registry.Located, Manifest]:
    """The model and what binds the layer `refine` that is asked for.

    Raises:
        AutolabelError: there is no model.
    """
    located = registry.locate("segmenter", config.model)
    manifest = Manifest(
        stage="refine",
        settings=config.settings(),
        model=located.identity(),
        origin={"model": located.reference()},
    )
    return located, manifest
