"""Which images of a layer are exported, to which split, and by which names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from autolabel.config import ExportConfig
from autolabel.datasets.names import unique_stems
from autolabel.datasets.split import held_back
from autolabel.errors import AutolabelError
from autolabel.sources import from_uri
from autolabel.store import Layer
from autolabel.types import Record


@dataclass(frozen=True)
class ExportPlan:
    """Which images go where.

    Attributes:
        stems: image id -> name of the file, without its ending.
        held_back: image id -> split, of those not in train.
        skipped: images that are left out, by reason.
    """

    stems: dict[str, str]
    held_back: dict[str, str]
    skipped: Counter[str]

    def split(self, image_id: str) -> str:
        """Return the split of an image."""
        return self.held_back.get(image_id, "train")

    @property
    def splits(self) -> list[str]:
        """The splits that have an image."""
        there = set(self.held_back.values())
        return ["train", *(split for split in ("val", "test") if split in there)]


def plan_export(
    layer: Layer, root: Path, config: ExportConfig, only: Collection[str] | None
) -> ExportPlan:
    """Choose the images.

    Args:
        layer: the labels.
        root: folder of the photos.
        config: shares of the splits, and their seed.
        only: ids of the images that may be chosen; None for all.

    Raises:
        AutolabelError: there is none.
    """
    skipped: Counter[str] = Counter()
    stems: dict[str, str] = {}
    groups: dict[str, str] = {}
    for record in layer.records():
        if reason := _unusable(record, stems):
            skipped[reason] += 1
        elif only is not None and record.image_id not in only:
            skipped["not queued"] += 1
        else:
            stems[record.image_id] = from_uri(record.uri, root).stem
            groups[record.image_id] = record.group or record.image_id
    if not stems:
        listed = ", ".join(f"{n} {reason}" for reason, n in skipped.items()) or "it is empty"
        raise AutolabelError(
            f"{layer.name}/ has no image to export: {listed}",
            hint="autolabel status shows what the layers hold; ingest more images",
        )
    split = held_back(groups, config.val_share, config.test_share, config.seed)
    return ExportPlan(unique_stems(stems), split, skipped)


def _unusable(record: Record, seen: dict[str, str]) -> str | None:
    if record.error is not None:
        return "unreadable"
    if not record.usable:
        return record.split
    return "duplicate" if record.image_id in seen else None
