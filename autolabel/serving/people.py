"""What people said of a photo in an annotation tool, as decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from autolabel.config import ImportConfig
from autolabel.corrections.decisions import Decisions
from autolabel.corrections.importing import ImportSummary, class_names, decide
from autolabel.datasets.ground_truth import GroundTruth, GroundTruthImage
from autolabel.datasets.label_studio_config import POLYGON, RECTANGLE, Labelling
from autolabel.datasets.label_studio_regions import to_objects
from autolabel.datasets.label_studio_tasks import tasks_of
from autolabel.errors import AutolabelError, InUseError
from autolabel.ops.boxes import box_areas
from autolabel.serving.labels import Labels
from autolabel.store import lock_names
from autolabel.types import Objects, Record

VIA = "label-studio"


def record_annotation(
    labels: Labels, event: Mapping[str, Any], labelling: Labelling
) -> tuple[int, str | None]:
    """Record one annotation of Label Studio, as an import of it would; then it is on disk.

    What the project cannot draw was not shown, and nobody said anything of it; and where a region
    of the annotation could not be read, nothing counts as deleted.

    Args:
        labels: what people were shown.
        event: with `task` and `annotation`.
        labelling: of the project.

    Returns:
        How many decisions that are, and the uri of the photo, None where it is none of ours: none
        of that name, or of that name and another size.

    Raises:
        AutolabelError: the annotation is damaged, or nothing can be written.
    """
    task, annotation = event.get("task"), event.get("annotation")
    if not isinstance(task, dict) or not isinstance(annotation, dict):
        raise AutolabelError("there is no task or annotation", hint="send the payload too")
    if annotation.get("was_cancelled"):
        return 0, None
    skipped: Counter[str] = Counter()
    (one,) = tasks_of([{**task, "annotations": [annotation]}], labelling.field, skipped)
    image_id = labels.photos.find(one.names).image_id
    if image_id is None:
        return 0, None
    record = labels.record(image_id)
    if {region.size_wh for region in one.regions} - {(0, 0), (record.width, record.height)}:
        return 0, None  # another photo of that name
    objects = to_objects(one.regions, (record.width, record.height), one.person, skipped)
    config = ImportConfig(unchanged="confirm", deletions=len(objects) == len(one.regions))
    return _recorded(labels, record, objects, labelling, config), record.uri


def _recorded(
    labels: Labels, record: Record, objects: Objects, labelling: Labelling, config: ImportConfig
) -> int:
    place = labels.layer.path
    image = GroundTruthImage(
        record.uri, None, record.image_id, record.width, record.height, objects,
        box_areas(objects.xyxy) == 0,
    )  # fmt: skip
    named = tuple(dict.fromkeys([*labelling.labels, *map(str, objects.label)]))
    known = labels.ontology.names
    classes = class_names(GroundTruth(named, (image,), place, place), known, {})
    before = {record.image_id: _shown(record.objects.kept, labelling)}
    shown = (labels.layer.name, labels.layer.fingerprint())
    summary = ImportSummary(VIA)
    decided = decide([(record, image)], before, classes, config, summary, shown)
    said = [replace(one, via=VIA) for one in decided]
    Decisions(labels.workspace.path).append(*said)
    if classes.new:
        with suppress(InUseError), labels.workspace.lock():  # else the next to ask gives them ids
            lock_names(labels.workspace, [*known, *classes.new])
    return len(said)


def _shown(objects: Objects, labelling: Labelling) -> Objects:
    """Return the objects that the project can draw."""
    offered = [labelling.offering(label) for label in objects.label]
    boxes = [bool(one.keys() & {RECTANGLE, POLYGON}) for one in offered]
    masks = [mask is not None for mask in objects.mask]
    drawn = [bool(o) and (box or mask) for o, box, mask in zip(offered, boxes, masks, strict=True)]
    return objects[np.array(drawn, bool)]
