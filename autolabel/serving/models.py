"""The models that made the labels of a workspace, asked about a photo that is not in it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.ops.images import content_id, decode, read_bytes
from autolabel.stages.history import BEFORE, manifests_of, options_of
from autolabel.stages.running import locate
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Manifest
from autolabel.types import Record

_STAGES = ("detect", "refine", "relabel")
"""What a filter rejects depends on the other photos of the workspace, so none is asked."""


class Models:
    """Labels a photo as a layer's own were labelled: detected, refined, relabelled.

    Args:
        layer: whose models are meant; loaded at once.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    Raises:
        AutolabelError: a model is no longer to be found or has changed, or none made the layer.
    """

    def __init__(self, layer: Layer, device: str) -> None:
        made = [one for one in reversed(manifests_of(layer)) if one.stage in _STAGES]
        if not any(manifest.stage == "detect" for manifest in made):
            raise AutolabelError(
                f"no model made {layer.name}/", hint="run autolabel detect, or serve --no-model"
            )
        self.stages = [_stage(manifest, made, device) for manifest in made]

    def label(self, path: Path) -> Record:
        """Return what is found in a photo.

        Raises:
            ImageError: it cannot be read.
        """
        data = read_bytes(path)
        pixels = decode(data)
        height, width = pixels.shape[:2]
        record = Record(content_id(data), path.name, width, height, pixels=pixels)
        for stage in self.stages:
            if stage.wants(record):
                (record,) = stage([record])
        return replace(record, pixels=None)


def _stage(manifest: Manifest, made: list[Manifest], device: str) -> Any:
    """Return the stage that made a layer, ready to be called."""
    entry, config = STAGES[manifest.stage], options_of(manifest)
    ontology = Ontology.from_mapping(made[0].settings["ontology"])
    if BEFORE in manifest.origin:
        ontology = ontology.with_ids(manifest.origin[BEFORE])
    return entry.make(config, ontology, locate(entry, config), device)
