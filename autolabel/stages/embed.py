"""Embed the crops of a layer's objects, once per model: the layers `embed/NAME`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from autolabel import registry
from autolabel.config import EngineConfig
from autolabel.models.base import Embedder, batch_size_of
from autolabel.ops.crops import square_crop
from autolabel.stages.running import Reporter, derive, existing_root
from autolabel.store import EMBED, Layer, Manifest, Workspace
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Record


class Embed:
    """Vectors of each object's crop and of the whole image; the objects themselves are left out.

    Args:
        located: the embedder's files.
        context: share of a box's side that is added at each side.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(self, located: registry.Located, context: float, device: str) -> None:
        self.context = context
        self.embedder: Embedder = registry.load(located, device)
        self.batch_size = batch_size_of(self.embedder)

    def wants(self, record: Record) -> bool:
        """Tell images of the pool with objects; the others have no crops."""
        return record.usable and len(record.objects) > 0

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return the records with vectors."""
        crops, counts = [], []
        for record in batch:
            boxes = record.objects.xyxy.tolist()
            image = record.image()
            crops += [square_crop(image, box, self.context) for box in boxes]
            crops.append(square_crop(image, [0, 0, image.shape[1], image.shape[0]], 0))
            counts.append(len(boxes) + 1)
        vectors = self.embedder.embed_images(crops)
        parts = np.split(vectors, np.cumsum(counts)[:-1])
        return [
            replace(record, vectors={CROPS: part[:-1], WHOLE: part[-1:]})
            for record, part in zip(batch, parts, strict=True)
        ]


def embed(
    workspace: Workspace,
    name: str,
    located: registry.Located,
    source: Layer,
    context: float,
    engine: EngineConfig,
    report: Reporter,
    *,
    on_trial: bool = False,
) -> Layer:
    """Make the layer `embed/NAME` or bring it up to date; holds no lock.

    Args:
        workspace: has `source`.
        name: of the embedder.
        located: the embedder's files.
        source: the labels, complete and up to date.
        context: share of a box's side that is added at each side.
        engine: how it runs.
        report: called when work begins.
        on_trial: whether a layer of other settings stays in its place.

    Raises:
        AutolabelError: photos are gone, or some shards could not be done.
    """
    manifest = Manifest(stage=EMBED, settings={"context": context}, model=located.identity())
    root = existing_root(workspace)
    make = partial(Embed, located, context, engine.device)
    return derive(
        workspace, f"{EMBED}/{name}", source, manifest, make, root, engine, True, report,
        pixels=True, on_trial=on_trial,
    ).layer  # fmt: skip
