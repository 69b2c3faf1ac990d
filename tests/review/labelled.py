"""Workspaces whose labels a test says photo by photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from autolabel.config import EngineConfig, IngestConfig
from autolabel.ontology import Ontology
from autolabel.stages.ingest import ingest
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Objects
from tests.conftest import make_photos
from tests.layers import begin, finish

CLASSES = ("cat", "dog", "owl")


def workspace(folder: Path, labels: Sequence[Objects], *, shard_size: int = 2) -> Workspace:
    """Photo i of `folder`/photos has the labels i, in the layer `detect`."""
    make_photos(folder / "photos", len(labels))
    home = Workspace(folder / "ws")
    source = IngestConfig(source=(str(folder / "photos"),), shard_size=shard_size, near_bits=-1)
    images = ingest(home, source, EngineConfig()).layer
    ontology = Ontology.from_prompts(CLASSES)
    write(home, images, "detect", {"ontology": ontology.to_mapping()}, labels)
    return home


def write(
    home: Workspace, source: Layer, name: str, settings: dict, labels: Sequence[Objects],
    model: dict[str, str] | None = None,
) -> Layer:  # fmt: skip
    """Write a layer of the same photos."""
    manifest = Manifest(name.partition("/")[0], settings, model=model)
    with home.lock():
        layer = begin(home, name, bound_to(manifest, source))
        rest = iter(labels)
        for index in source.shards():
            rows = [replace(record, objects=next(rest)) for record in source.read(index)]
            layer.write(index, rows, source.digest(index))
        return finish(home, layer)


def one(label: str, score: float, x: int = 10, **columns: object) -> Objects:
    """One object, 20 pixels wide."""
    scores = [columns.pop("scores", {})]
    listed = {name: [value] for name, value in columns.items()}
    return Objects.create([label], [score], [[x, 10, x + 20, 30]], scores=scores, **listed)


def several(*parts: Objects) -> Objects:
    """The objects of all."""
    names = Objects.__dataclass_fields__
    return Objects.create(**{n: [v for part in parts for v in getattr(part, n)] for n in names})


def embedded(home: Workspace, images: list[list[float]]) -> None:
    """Vectors of the images, and of their objects the same."""
    source = home.layer("detect")
    with home.lock():
        layer = begin(home, "embed/dinov2", bound_to(Manifest("embed"), source))
        rest = iter(images)
        for index in source.shards():
            rows = []
            for record in source.read(index):
                whole = np.array([next(rest)], np.float32)
                whole /= np.linalg.norm(whole)
                crops = np.repeat(whole, len(record.objects), axis=0)
                rows.append(
                    replace(record, objects=Objects.empty(), vectors={CROPS: crops, WHOLE: whole})
                )
            layer.write(index, rows, source.digest(index))
        finish(home, layer)
