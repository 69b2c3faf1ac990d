"""Which images are learned from: no held-out photo, and no more background than wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from autolabel.config import TrainConfig
from autolabel.errors import AutolabelError
from autolabel.ops.files import find_images, from_uri
from autolabel.pipeline import scanned
from autolabel.stages.ingest import find_repeats
from autolabel.store import Layer, Workspace
from autolabel.types import LEAK, Record

BACKGROUND = "background"
"""Why an image without labels is left out: there are more than the wanted share."""


class ChosenLayer(Layer):
    """A layer of labels in which some images have been put aside.

    Args:
        layer: the labels.
        aside: image id -> why it is not used.
    """

    def __init__(self, layer: Layer, aside: Mapping[str, str]) -> None:
        super().__init__(layer.path, layer.name)
        self.hold_as(layer)
        self.aside = aside

    def records(self) -> Iterator[Record]:
        """All records; the `split` of those that are put aside says why."""
        for record in super().records():
            why = self.aside.get(record.image_id) if record.usable else None
            yield record if why is None else replace(record, split=why)

    def fingerprint(self) -> str:
        """Hash of the labels and of what is put aside."""
        aside = "".join(sorted(f"{image_id}={why}\n" for image_id, why in self.aside.items()))
        return hashlib.sha256(f"{super().fingerprint()}\n{aside}".encode()).hexdigest()


def choose(workspace: Workspace, layer: Layer, config: TrainConfig) -> ChosenLayer:
    """The layer without what nearly equals a held-out photo and without surplus background.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    usable = [record for record in layer.records() if record.usable]
    aside = dict.fromkeys(_leaks(workspace, usable, config), LEAK)
    usable = [record for record in usable if record.image_id not in aside]
    # A box of a rejected object is background too, and so is an image of rejected ones alone.
    empty = {record.image_id for record in usable if not record.objects.keep.any()}
    labelled = {record.image_id for record in usable} - empty
    most = len(empty)
    if config.background_share < 1:
        share = config.background_share / (1 - config.background_share)
        most = int(share * len(labelled) + 1e-9)
    order = sorted(empty, key=lambda i: hashlib.sha256(f"{config.seed}:{i}".encode()).hexdigest())
    return ChosenLayer(layer, aside | dict.fromkeys(order[most:], BACKGROUND))


def _leaks(workspace: Workspace, usable: list[Record], config: TrainConfig) -> list[str]:
    """Ids of the images that equal or nearly equal a held-out photo."""
    if not config.holdout:
        return []
    held_out = scanned(find_images(config.holdout).paths)
    for photo in held_out:
        if photo.error is not None:
            raise AutolabelError(
                f"held-out photo {from_uri(photo.uri, Path('/'))} {photo.error}",
                hint="mend or remove it; the leak guard needs them all",
            )
    near_bits = int(workspace.require("images").manifest.settings.get("near_bits", 6))
    marks = find_repeats(usable, held_out, near_bits=near_bits)
    ids = {record.uri: record.image_id for record in usable}
    return [ids[uri] for (uri, _), mark in marks.items() if mark.split == LEAK]
