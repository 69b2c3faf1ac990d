"""The images and labels in the form that the trainer reads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from autolabel.config import ExportConfig, TrainConfig
from autolabel.errors import AutolabelError
from autolabel.export import export
from autolabel.export.names import unique_stems
from autolabel.formats.labelled import class_ids
from autolabel.ontology import Ontology
from autolabel.ops.boxes import box_areas, clip_boxes
from autolabel.ops.files import from_uri
from autolabel.ops.polygons import one_ring, to_polygons
from autolabel.store import Workspace
from autolabel.train.choose import ChosenLayer
from autolabel.types import Record


@dataclass(frozen=True)
class Dataset:
    """What training reads.

    Attributes:
        folder: with ``images/train``, ``labels/train`` and, where there is one, the val part.
        images, val_images: learned from, and for choosing the best epoch.
        objects: learned from, by class.
        skipped: images left out, by reason.
    """

    folder: Path
    images: int
    val_images: int
    objects: dict[str, int]
    skipped: dict[str, int]


def require_labels(layer: ChosenLayer) -> None:
    """See that there is something to learn from.

    Raises:
        AutolabelError: there is no label.
    """
    if not any(record.usable and record.objects.keep.any() for record in layer.records()):
        raise AutolabelError(
            f"{layer.name}/ has no kept label to learn from",
            hint="lower --box-threshold of detect, or the limits of filter; autolabel preview "
            "--rejected shows what was rejected",
        )


def write_dataset(
    workspace: Workspace,
    layer: ChosenLayer,
    ontology: Ontology,
    config: TrainConfig,
    out: Path,
    *,
    masks: bool,
) -> Dataset:
    """Export the kept labels.

    The images are copied, not linked: ultralytics rewrites a JPEG that has a damaged end, and that
    must never be the user's own file.
    """
    chosen = ExportConfig(
        format="yolo", out=str(out), val_share=config.val_share, seed=config.seed, link="copy"
    )
    done = export(workspace, layer, ontology, chosen)
    if masks:
        _write_polygons(workspace, layer, ontology, out)
    counts: Counter[int] = Counter()
    for file in (out / "labels" / "train").glob("*.txt"):
        counts.update(int(line.split()[0]) for line in file.read_text("ascii").splitlines())
    return Dataset(
        folder=out,
        images=done.splits["train"],
        val_images=done.splits.get("val", 0),
        objects={name: counts[i] for i, name in enumerate(ontology.names)},
        skipped=done.skipped,
    )


def _write_polygons(
    workspace: Workspace, layer: ChosenLayer, ontology: Ontology, out: Path
) -> None:
    """Put the outlines of the masks in the place of the boxes."""
    root = workspace.source_root
    records = {record.image_id: record for record in layer.records() if record.usable}
    stems = unique_stems({i: from_uri(record.uri, root).stem for i, record in records.items()})
    for image_id, record in records.items():
        for split in ("train", "val"):
            file = out / "labels" / split / f"{stems[image_id]}.txt"
            if file.exists():
                file.write_text(polygon_label(record, ontology.names), "ascii", newline="\n")


def polygon_label(record: Record, names: Sequence[str]) -> str:
    """The text of one label file for segmentation: class, then x and y as shares of the image.

    An object of several parts is one path with seams; one without a mask is its box.
    """
    kept = record.objects.kept
    size = np.array([record.width, record.height])
    boxes = clip_boxes(kept.xyxy, record.width, record.height)
    lines = []
    for class_id, counts, box, area in zip(
        class_ids(kept, names), kept.mask, boxes, box_areas(boxes), strict=True
    ):
        parts = to_polygons(counts, record.height, record.width)[0] if counts else []
        if parts:
            ring = one_ring(parts)
        elif area > 0:
            x1, y1, x2, y2 = box
            ring = np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)
        else:
            continue
        shares = np.clip(ring / size, 0, 1).ravel()
        lines.append(f"{class_id} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
    return "".join(lines)
