"""Datasets for trainers and annotation tools, from the labels of a layer."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from autolabel import __version__, store
from autolabel.config import ExportConfig, class_changes
from autolabel.config.classes import ClassChanges
from autolabel.datasets.base import Carries, ExportImage, WriteOptions, Writer
from autolabel.datasets.export_plan import ExportPlan, plan_export
from autolabel.datasets.export_result import ExportResult
from autolabel.datasets.formats import writer_of
from autolabel.datasets.images import ChangedError, Link, place_image
from autolabel.datasets.publisher import check_free, dataset_files, exports_of, note_export
from autolabel.datasets.relabelled import RelabelledLayer
from autolabel.datasets.task import Task, choose_task
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.ops.boxes import box_areas, clip_boxes
from autolabel.ops.images import ImageError
from autolabel.ops.relabel import DROPPED, REPEATED
from autolabel.sources import from_uri
from autolabel.store import Layer, Workspace, not_writable
from autolabel.types import Objects, Record

__all__ = ["ExportResult", "check_place", "export", "exports_of", "is_current"]


def export(
    workspace: Workspace,
    layer: Layer,
    ontology: Ontology,
    config: ExportConfig,
    only: Collection[str] | None = None,
) -> ExportResult:
    """Write the kept labels of a layer, and their images, as a dataset.

    Usable images without objects are in it, as background. A dataset of the same format that an
    export wrote before is replaced, at once and whole; other files in the folder stay.

    Args:
        workspace: that of the layer.
        layer: the labels.
        ontology: their classes in the order of their ids.
        config: what goes where, and how.
        only: ids of the images that may be in it; None for all.

    Raises:
        AutolabelError: there is nothing to export, a label is not in the ontology, the folder is in
            use for something else, or it cannot be written.
    """
    out, writer = Path(config.out), writer_of(config.format)
    changes = class_changes(config, ontology.names)
    _check_classes(workspace, layer, ontology)
    labels = RelabelledLayer(layer, changes.new) if changes else layer
    task = choose_task(labels, config.task, masks=writer.carries.masks)
    polygons = config.polygons or config.coco_masks == "polygon"
    options = WriteOptions(changes.names, task.masks, polygons)
    plan = plan_export(labels, workspace.source_root, config, only)
    place, check = dataset_files(out), partial(check_free, out, writer.items, config.format)
    try:
        with place.staged(check) as staging:
            built = _place(labels, workspace.source_root, plan, writer, staging, config.link)
            written = writer.write(staging, built.splits, options)
            files = [image.path for images in built.splits.values() for image in images]
            done = _exported(out, plan, built, task, writer.carries, written.lost, changes)
            marker = {
                "format": config.format,
                "binding": _binding(workspace, layer, ontology, config, only),
                "layer": layer.name,
                "classes": list(done.classes),
                "task": task.name,
                "splits": done.splits,
                "objects": done.objects,
                "skipped": done.skipped,
                "to_retry": len(done.problems),
                "files": files + written.files,
            }
            place.publish(marker)
            note_export(workspace, out)
    except OSError as e:
        raise not_writable(out, e) from e
    return done


def _check_classes(workspace: Workspace, layer: Layer, ontology: Ontology) -> None:
    """See that every label is of a class; those of an older layer may be of another ontology."""
    kept = {name for name, (kept, _) in layer.classes().items() if kept}
    unknown = sorted(kept - set(ontology.names))
    if unknown:
        raise AutolabelError(
            f"{layer.name}/ is stale: it has labels of {unknown[0]!r}, no longer a class",
            hint=f"run autolabel {layer.name} {workspace.path} again",
        )


def check_place(out: Path, format_name: str) -> None:
    """See that an export may go to a folder.

    Raises:
        AutolabelError: it is not a folder, or its content is another's.
    """
    check_free(out, writer_of(format_name).items, format_name)


def is_current(
    workspace: Workspace,
    layer: Layer,
    ontology: Ontology,
    config: ExportConfig,
    only: Collection[str] | None = None,
) -> bool:
    """Return whether the folder holds just what `export` would write now.

    An export that had to leave images out because they were missing is never current.
    """
    wanted = {"binding": _binding(workspace, layer, ontology, config, only), "to_retry": 0}
    return store.is_current(Path(config.out), wanted, lambda out: dataset_files(out).whole_note())


def _binding(
    workspace: Workspace,
    layer: Layer,
    ontology: Ontology,
    config: ExportConfig,
    only: Collection[str] | None,
) -> dict[str, Any]:
    """Return what shapes the dataset, as JSON values."""
    listed = None if only is None else "\n".join(sorted(only))
    return {
        **config.model_dump(mode="json", exclude={"out", "from_layer"}),
        "fingerprint": layer.fingerprint(),
        "ontology": ontology.fingerprint(),
        "source_root": str(workspace.source_root),
        "only": listed and hashlib.sha256(listed.encode()).hexdigest(),
        "version": __version__,
    }


@dataclass(frozen=True)
class _Built:
    """Images by split, what went wrong with others, and what was counted on the way."""

    splits: dict[str, list[ExportImage]]
    skipped: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def _place(
    layer: Layer, root: Path, plan: ExportPlan, writer: Writer, staging: Path, link: Link
) -> _Built:
    folders = {split: writer.images.format(split=split) for split in plan.splits}
    for folder in folders.values():
        (staging / folder).mkdir(parents=True, exist_ok=True)
    built = _Built({split: [] for split in plan.splits})
    waiting = dict(plan.stems)
    for record in layer.records():
        stem = waiting.pop(record.image_id, None) if record.usable else None
        if stem is None:
            continue
        split, source = plan.split(record.image_id), from_uri(record.uri, root)
        try:
            target = staging / folders[split] / stem
            suffix, anew = place_image(source, record.image_id, target, link)
        except (ImageError, ChangedError) as e:
            built.skipped[_reason(e)] += 1
            built.problems.append(f"{record.uri}: {e}")
            continue
        clean = _with_area(record)
        built.counts["empty_boxes"] += len(record.objects.kept) - len(clean.objects)
        built.counts.update(_REJECTED.get(why, "rejected") for why in _reasons(record))
        built.counts["rewritten"] += anew
        built.splits[split].append(ExportImage(clean, folders[split], stem, suffix))
    if not any(built.splits.values()):
        raise AutolabelError(
            f"none of the {len(plan.stems)} images could be exported; {built.problems[0]}",
            hint="if the images have moved, say where they are now: --source-root DIR",
        )
    filled = {name: images for name, images in built.splits.items() if images or name == "train"}
    return replace(built, splits=filled)


_REJECTED = {DROPPED: "dropped", REPEATED: "repeated"}
"""Reason of an object that only the options of the export reject -> what is counted."""


def _reasons(record: Record) -> list[str]:
    """Return why each rejected object was."""
    return [str(why) for why in record.objects.reason[~record.objects.keep]]


def _reason(error: ImageError | ChangedError) -> str:
    if isinstance(error, ChangedError):
        return "changed"
    return "missing" if str(error) == "missing" else "unreadable"


def _with_area(record: Record) -> Record:
    """Return the kept objects, boxes cut at the border: trainers refuse what is beyond it."""
    kept = record.objects.kept
    boxes = clip_boxes(kept.xyxy, record.width, record.height).astype("float32")
    inside = replace(kept, xyxy=boxes)[box_areas(boxes) > 0]
    return replace(record, objects=inside)


def _exported(
    out: Path,
    plan: ExportPlan,
    built: _Built,
    task: Task,
    carries: Carries,
    lost: Mapping[str, int],
    changes: ClassChanges,
) -> ExportResult:
    objects = [i.record.objects for images in built.splits.values() for i in images]
    used = {label for one in objects for label in one.label}
    ids = enumerate(zip(changes.names, changes.was, strict=True))
    missing = Counter(lost) | _not_carried(objects, task, carries)
    missing |= {what: built.counts[what] for what in ("rejected", *_REJECTED.values())}
    return ExportResult(
        out=out,
        images=sum(map(len, built.splits.values())),
        objects=sum(map(len, objects)),
        splits={split: len(images) for split, images in built.splits.items()},
        skipped=dict(sorted((plan.skipped + built.skipped).items())),
        problems=tuple(built.problems),
        empty_boxes=built.counts["empty_boxes"],
        task=task.name,
        reason=task.reason,
        lost={what: count for what, count in sorted(missing.items()) if count},
        rewritten=built.counts["rewritten"],
        classes=changes.names,
        unused=tuple(name for name in changes.names if name not in used),
        renumbered={name: was for i, (name, was) in ids if i != was},
    )


def _not_carried(objects: Sequence[Objects], task: Task, carries: Carries) -> Counter[str]:
    """Count what the format, or the task, has no place for."""
    missing: Counter[str] = Counter()
    missing["evidence"] = sum(map(bool, itertools.chain(*(o.scores for o in objects))))
    if not task.masks:
        missing["masks"] = sum(m is not None for o in objects for m in o.mask)
    if not carries.scores:
        missing["scores"] = sum(map(len, objects))
    if not carries.corrections:
        missing["corrections"] = sum(int(o.locked.sum()) for o in objects)
    if not carries.empty_images:
        missing["empty_images"] = sum(not len(o) for o in objects)
    return missing
