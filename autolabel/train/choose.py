"""Which images are learned from: no held-out photo, and no more background than wanted."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import replace

from autolabel.config import EngineConfig, TrainConfig
from autolabel.datasets.ground_truth import GroundTruth
from autolabel.stages import leak_guard as guard
from autolabel.stages.running import existing_root
from autolabel.store import Layer, Workspace
from autolabel.types import LEAK, Record

BACKGROUND = "background"
"""Why an image without labels is left out: there are more than the wanted share."""


class ChosenLayer(Layer):
    """A layer of labels in which some images have been left out.

    Args:
        layer: the labels.
        left_out: image id -> why it is not used.
        held_out: how many photos are held out.
    """

    def __init__(self, layer: Layer, left_out: Mapping[str, str], held_out: int = 0) -> None:
        super().__init__(layer.path, layer.name)
        self.adopt_snapshot(layer)
        self.left_out = left_out
        self.held_out = held_out

    def records(self) -> Iterator[Record]:
        """Iterate over all records; the `split` of those that are left out says why."""
        for record in super().records():
            why = self.left_out.get(record.image_id) if record.usable else None
            yield record if why is None else replace(record, split=why)

    def fingerprint(self) -> str:
        """Return a hash of the labels and of what is left out."""
        left_out = "".join(sorted(f"{image_id}={why}\n" for image_id, why in self.left_out.items()))
        return hashlib.sha256(f"{super().fingerprint()}\n{left_out}".encode()).hexdigest()


def apart_from(recipe: TrainConfig, truth: GroundTruth) -> TrainConfig:
    """Return a recipe that learns from no photo of some hand labels, nor from what was made of one.

    What the recipe holds out itself stays held out too.
    """
    photos = [str(image.path) for image in truth.records if image.path is not None]
    return recipe.model_copy(update={"holdout": tuple(dict.fromkeys([*recipe.holdout, *photos]))})


def choose(
    workspace: Workspace, layer: Layer, config: TrainConfig, engine: EngineConfig | None = None
) -> ChosenLayer:
    """Return the layer without what was made from a held-out photo and without surplus background.

    Args:
        workspace: that of the layer.
        layer: the labels.
        config: held-out photos and the share of background.
        engine: how photos are looked at for held-out ones; None looks at none, and knows what was
            found before.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    usable = [record for record in layer.records() if record.usable]
    held_out = guard.HeldOutFiles.find(config.holdout)
    leaks = set(_leaks(workspace, held_out, engine))
    left_out = {record.image_id: LEAK for record in usable if record.image_id in leaks}
    usable = [record for record in usable if record.image_id not in left_out]
    # A box of a rejected object is background too, and so is an image of rejected ones alone.
    empty = {record.image_id for record in usable if not record.objects.keep.any()}
    labelled = {record.image_id for record in usable} - empty
    most = len(empty)
    if config.background_share < 1:
        share = config.background_share / (1 - config.background_share)
        most = int(share * len(labelled) + 1e-9)
    order = sorted(empty, key=lambda i: hashlib.sha256(f"{config.seed}:{i}".encode()).hexdigest())
    left_out |= dict.fromkeys(order[most:], BACKGROUND)
    return ChosenLayer(layer, left_out, len(held_out.photos))


def _leaks(
    workspace: Workspace, held_out: guard.HeldOutFiles, engine: EngineConfig | None
) -> list[str]:
    """Return the ids of the images that are held-out photos, or were made from one."""
    if not held_out.photos:
        return []
    images = workspace.require("images")
    settings = images.manifest.settings
    if settings.get("holdout") == held_out.key:
        return []  # ingest has marked them
    looked = workspace.layer(guard.OF_TRAINING)
    if engine is not None:
        with workspace.lock():
            looked = guard.look(
                workspace, images, held_out, int(settings.get("near_bits", 6)),
                existing_root(workspace), engine, name=guard.OF_TRAINING,
            )  # fmt: skip
    elif not looked.exists or looked.manifest.settings.get("holdout") != held_out.key:
        return []
    marks = guard.marks(looked, str(settings.get("near_duplicates", "group")))
    return [image_id for (_, image_id), mark in marks.items() if mark.split == LEAK]
