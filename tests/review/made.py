"""Workspaces to review: photos with labels that differ from each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from autolabel.config import EngineConfig, IngestConfig, ReviewConfig
from autolabel.ontology import Ontology
from autolabel.ops.masks import encode
from autolabel.review.items import OBJECT, Item
from autolabel.review.prepare import Review, prepare
from autolabel.stages.ingest import ingest
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects
from tests.conftest import make_photos
from tests.layers import begin, finish

CLASSES = ("cat", "dog", "bird")
SIZE = (96, 64)


def labels(seed: int, count: int) -> Objects:
    """Boxes at random that overlap little, every third with a mask."""
    rng = np.random.default_rng(seed)
    columns, rows = -(-count // 3), 3
    wide, high = SIZE[0] / columns, SIZE[1] / rows
    boxes, masks = [], []
    for i in range(count):
        x, y = (i % columns) * wide, (i // columns) * high
        x1, y1 = x + 1 + rng.uniform(0, wide / 4), y + 1 + rng.uniform(0, high / 4)
        boxes.append([x1, y1, x + wide - 1, y + high - 1])
        dense = np.zeros((1, SIZE[1], SIZE[0]), bool)
        dense[0, int(y1) + 1 : int(y + high) - 2, int(x1) + 1 : int(x + wide) - 2] = True
        masks.append(encode(dense)[0] if i % 3 == 0 else None)
    names = [CLASSES[i % 2] for i in range(count)]  # no bird
    scores = rng.uniform(0.3, 0.95, count)
    return Objects.create(
        names, scores, boxes, mask=masks, scores=[{"detector": float(s)} for s in scores],
        prompt=names,
    )  # fmt: skip


def workspace(folder: Path, *, photos: int = 4, count: int = 6) -> Workspace:
    """Photos in `folder`/photos with that many labels each, in the layer `detect`."""
    make_photos(folder / "photos", photos, SIZE)
    home = Workspace(folder / "ws")
    source = IngestConfig(source=(str(folder / "photos"),), shard_size=2)
    images = ingest(home, source, EngineConfig()).layer
    relabel(home, count=count)
    assert len(images) == photos
    return home


def relabel(home: Workspace, *, count: int, seed: int = 0) -> None:
    """Write the layer `detect` anew."""
    images = home.require("images")
    ontology = Ontology.from_prompts(CLASSES).to_mapping()
    manifest = Manifest("detect", {"box_threshold": 0.3, "ontology": ontology, "seed": seed})
    layer = begin(home, "detect", bound_to(manifest, images))
    number = 0
    for index in images.shards():
        records = []
        for record in images.read(index):
            records.append(replace(record, objects=labels(1000 * seed + number, count)))
            number += 1
        layer.write(index, records, images.digest(index))
    finish(home, layer)


def review(home: Workspace, **options: object) -> Review:
    """A review in random order."""
    return prepare(home, ReviewConfig.model_validate({"queue": "random", "by": "ann", **options}))


def objects_of(at: Review) -> list[Item]:
    """The objects that a review asks for, in order."""
    return [item for item in at.session.items.values() if item.kind == OBJECT]
