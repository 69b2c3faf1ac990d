"""Which images and which labels a preview shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.store import Layer
from autolabel.types import Objects, Record

Label = tuple[Record, int]
"""An image, and the place of a label among its objects."""


@dataclass
class Selection:
    """What there is to show of a layer.

    Attributes:
        images: those that are drawn whole.
        labels: (class, whether it is kept) -> every label, in the order of the layer.
    """

    images: list[Record] = field(default_factory=list)
    labels: dict[tuple[str, bool], list[Label]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Return how many labels are kept."""
        return sum(len(labels) for (_, keep), labels in self.labels.items() if keep)

    @property
    def rejected(self) -> int:
        """Return how many labels are rejected."""
        return sum(map(len, self.labels.values())) - self.kept


def select_labels(
    layer: Layer, photos: PhotoReader, classes: Sequence[str], *, rejected: bool, images: int
) -> Selection:
    """Look through a layer.

    Args:
        layer: has labels.
        photos: tells which are there; labels of others are not shown.
        classes: the ones to show.
        rejected: whether to show rejected labels only.
        images: how many are drawn whole at most, those with most rejected labels first.
    """
    found = Selection()
    for record in layer.records():
        record = replace(record, objects=_wanted(record.objects, classes, rejected))
        if not record.usable or not len(record.objects) or not photos.exists(record):
            continue
        found.images = _most_rejected([*found.images, record], images)
        for i, key in enumerate(_keys(record.objects)):
            found.labels.setdefault(key, []).append((record, i))
    return found


def sampled(labels: Sequence[Label], most: int) -> list[Label]:
    """Return labels by their scores, the surest first; of many, so many at even steps."""
    ordered = sorted(labels, key=lambda label: -float(label[0].objects.score[label[1]]))
    if len(ordered) <= most:
        return ordered
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


def _wanted(objects: Objects, classes: Sequence[str], rejected: bool) -> Objects:
    mine = np.isin(objects.label.astype(str), classes)
    return objects[mine & ~objects.keep if rejected else mine]


def _keys(objects: Objects) -> Iterator[tuple[str, bool]]:
    return zip(objects.label.tolist(), objects.keep.tolist(), strict=True)


def _most_rejected(records: list[Record], most: int) -> list[Record]:
    """Choose images; the order is stable, so that earlier ones win ties."""
    return sorted(records, key=lambda r: -int((~r.objects.keep).sum()))[:most]
