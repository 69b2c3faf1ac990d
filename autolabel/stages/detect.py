"""Find the objects that the ontology's prompts name."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import yaml

from autolabel import registry
from autolabel.config import DetectConfig, EngineConfig, PipelineConfig
from autolabel.models.base import NEGATIVE, Batching, Detector, batch_size_of
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Bools, Pixels
from autolabel.ops.boxes import clip_boxes
from autolabel.ops.hush import supervision
from autolabel.stages.history import ontology_of
from autolabel.stages.running import (
    Reporter,
    StageResult,
    binding,
    check_ready,
    derive,
    existing_root,
    locate,
    silent,
    source_of,
)
from autolabel.stages.table import STAGES
from autolabel.store import Manifest, Workspace, lock_names, locked_names, write_atomic
from autolabel.types import Objects, Record


class Detect:
    """Boxes from text prompts.

    Args:
        config: thresholds and overlap rule.
        ontology: classes and prompts.
        models: the detector's files, under ``model``.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(
        self,
        config: DetectConfig,
        ontology: Ontology,
        models: Mapping[str, registry.Located],
        device: str,
    ) -> None:
        self.config = config
        self.ontology = ontology
        supervision()  # before the threads start, whose warnings this import would touch
        self.detector: Detector = registry.load(models["model"], device)
        self.batch_size = batch_size_of(self.detector)

    def wants(self, record: Record) -> bool:
        """Want images that can be read and belong to the pool."""
        return record.usable

    def batch_key(self, record: Record) -> Hashable:
        """Return the size of the model's input, where that follows the shape of the image."""
        if isinstance(self.detector, Batching):
            return self.detector.input_size(record.width, record.height)
        return None

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return records with the boxes that pass, best first."""
        images = [record.image() for record in batch]
        found = labels_in(images, self.detector, self.ontology, self.config)
        return [replace(r, objects=o) for r, o in zip(batch, found, strict=True)]

    def highest(self, record: Record) -> dict[str, float]:
        """Return class -> highest score in a record with its pixels, whatever the thresholds."""
        (found,) = self.detector.detect([record.image()], self.ontology, 0.0)
        best: dict[str, float] = {}
        for label, score in zip(found.label, found.score.tolist(), strict=True):
            best[label] = max(score, best.get(label, 0.0))
        return best


def labels_in(
    images: Sequence[Pixels],
    detector: Detector,
    ontology: Ontology,
    config: DetectConfig,
) -> list[Objects]:
    """Return what a detector finds in each image and the options let pass, best first.

    Args:
        images: upright RGB, uint8 (height, width, 3), of any sizes.
    """
    thresholds = dict.fromkeys(ontology.names, config.box_threshold) | config.class_threshold
    lowest = min(config.box_threshold, *thresholds.values())
    return [
        select(found, thresholds, config.nms_iou, image.shape[1], image.shape[0])
        for image, found in zip(images, detector.detect(images, ontology, lowest), strict=True)
    ]


def select(
    found: Objects, thresholds: Mapping[str, float], nms_iou: float, width: int, height: int
) -> Objects:
    """Choose the boxes that become labels, best first; equal scores in the order of their boxes.

    So the order in which a model lists its boxes decides nothing. Boxes are clipped to the image
    and those without area go. Then the thresholds; then negative prompts take the boxes that they
    overlap with a higher score; then suppression within a class.

    Args:
        found: what a detector gave; negatives have the label `NEGATIVE`.
        thresholds: lowest score by class.
        nms_iou: overlap (IoU) above which the lower-scored box goes; 1 keeps all.
        width, height: of the image, pixels.
    """
    found = replace(found, xyxy=clip_boxes(found.xyxy, width, height).astype(np.float32))
    low = np.array([thresholds.get(label, 0.0) for label in found.label], np.float32)
    area = (found.xyxy[:, 2:] > found.xyxy[:, :2]).all(axis=1)
    found = found[area & (found.score >= low)]
    found = found[np.lexsort([found.label.astype(str), *found.xyxy.T[::-1], -found.score])]
    if len(found) == 0:
        return found
    if nms_iou < 1:
        found = found[~_lost_to_negatives(found, nms_iou)]
        found = found[_survives(found, nms_iou)]
    return found[found.label != NEGATIVE]


def _lost_to_negatives(found: Objects, nms_iou: float) -> Bools:
    negative = found.label == NEGATIVE
    lost = np.zeros(len(found), bool)
    if negative.any():
        overlap = supervision().box_iou_batch(found.xyxy, found.xyxy[negative]) > nms_iou
        better = found.score[negative][None, :] > found.score[:, None]
        lost = (overlap & better).any(axis=1) & ~negative
    return lost


def _survives(found: Objects, nms_iou: float) -> Bools:
    _, classes = np.unique(found.label.astype(str), return_inverse=True)
    # Places for scores: no two are equal, whose order numpy leaves open.
    place = np.arange(len(found), 0, -1)
    boxes = np.column_stack([found.xyxy, place, classes]).astype(np.float64)
    kept: Bools = supervision().box_non_max_suppression(boxes, iou_threshold=nms_iou)
    return kept


def detect(
    workspace: Workspace,
    config: DetectConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> StageResult:
    """Turn text prompts into boxes: the layer `detect`.

    Without prompts, the ontology that the workspace stores is used.

    Raises:
        AutolabelError: there is no model or source layer, or the settings differ.
    """
    entry = STAGES["detect"]
    source_of(entry, workspace, from_layer)
    with workspace.lock():
        source = source_of(entry, workspace, from_layer)
        check_ready(workspace, source)
        ontology, models = _ontology(workspace, config), locate(entry, config)
        manifest = _binding(config, ontology, models)
        make = partial(Detect, config, ontology, models, engine.device)
        root, ids = existing_root(workspace), locked_names(workspace)
        if workspace.layer(entry.layer).exists and workspace.state(entry.layer).complete:
            lock_names(workspace, ids)  # a workspace of before has them in those labels alone
        done = derive(
            workspace, entry.layer, source, manifest, make, root, engine,
            overwrite, report, pixels=entry.pixels,
        )  # fmt: skip
        lock_names(workspace, ontology.names)
        text = yaml.safe_dump(ontology.to_mapping(), sort_keys=False, allow_unicode=True)
        write_atomic(workspace.path / "ontology.yaml", text.encode())
        return done


def bound(workspace: Workspace, config: DetectConfig) -> Manifest:
    """Return what binds the layer `detect` that is asked for.

    Raises:
        AutolabelError: there is no model, or there are no prompts.
    """
    ontology = _ontology(workspace, config)
    return _binding(config, ontology, locate(STAGES["detect"], config))


def check(config: DetectConfig, pipeline: PipelineConfig) -> None:
    """See that the prompts are right.

    Raises:
        UsageError: they are not.
    """
    config.resolve_ontology()


def _binding(
    config: DetectConfig, ontology: Ontology, models: Mapping[str, registry.Located]
) -> Manifest:
    manifest = binding(STAGES["detect"], config, models)
    return replace(manifest, settings={**manifest.settings, "ontology": ontology.to_mapping()})


def _ontology(workspace: Workspace, config: DetectConfig) -> Ontology:
    stored = workspace.path / "ontology.yaml"
    if not config.prompt and config.ontology is None and stored.is_file():
        config = config.model_copy(update={"ontology": str(stored)})
    ontology = config.resolve_ontology()
    if workspace.layer("detect").exists:
        return ontology.ordered_like(ontology_of(workspace.layer("detect")))
    return ontology
