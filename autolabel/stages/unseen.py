"""Classes of which nothing was found: how near their scores come to the threshold."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.config import DetectConfig, EngineConfig
from autolabel.engine.pixels import PixelReader
from autolabel.errors import AutolabelError
from autolabel.stages.detect import Detect
from autolabel.stages.history import ontology_of
from autolabel.stages.running import existing_root, locate
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace
from autolabel.types import Record

MOST_IMAGES = 16
MOST_SECONDS = 20.0
"""A second look goes on for so long at most, and one image: on a CPU an image may take a minute."""


@dataclass(frozen=True)
class Unseen:
    """Classes without a label in a whole layer.

    Attributes:
        highest: class -> its highest score in the images that were looked at again, without any
            threshold; None where there was no box, or no image could be looked at.
        looked_at: how many images those are.
        images: usable images of the layer.
        everything: whether no class has a label.
    """

    highest: dict[str, float | None]
    looked_at: int
    images: int
    everything: bool


def look_again(
    workspace: Workspace, layer: Layer, config: DetectConfig, engine: EngineConfig
) -> Unseen | None:
    """Look without a threshold for classes of which `detect` found nothing; None where it did.

    Args:
        workspace: where the layer is.
        layer: what `detect` made by `config`.
        config: model and prompts.
        engine: where the model runs.
    """
    ontology = ontology_of(layer)
    found = layer.classes()
    missing = [name for name in ontology.names if name not in found]
    images = sum(record.usable for record in layer.records()) if missing else 0
    if not images:
        return None
    highest: dict[str, float | None] = dict.fromkeys(missing)
    looked_at = 0
    try:
        reader = PixelReader(existing_root(workspace))
        models = locate(STAGES["detect"], config)
        stage = Detect(config, ontology, models, engine.device)
        end = time.monotonic() + MOST_SECONDS
        for record in _spread(layer, images):
            try:
                scores = stage.highest(reader.read(record))
            except (OSError, ValueError):
                continue
            looked_at += 1
            for name in missing:
                seen = scores.get(name)
                if seen is not None:
                    highest[name] = max(seen, highest[name] or 0.0)
            if time.monotonic() > end:
                break
    except AutolabelError:
        pass  # the layer is made; that the model is gone by now is no reason to fail
    return Unseen(highest, looked_at, images, len(missing) == len(ontology.names))


def _spread(layer: Layer, images: int) -> Iterator[Record]:
    """Usable images, evenly over the layer."""
    step = -(-images // MOST_IMAGES)
    usable = (record for record in layer.records() if record.usable)
    return (record for i, record in enumerate(usable) if i % step == 0)
