"""A workspace of photos with labels, to be exported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.config import ExportConfig
from autolabel.datasets.export import ExportResult, export, is_current
from autolabel.ontology import Ontology
from autolabel.ops.images import content_id
from autolabel.ops.masks import encode
from autolabel.sources import to_uri
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.types import Objects, Record
from tests.conftest import make_photos
from tests.layers import begin

ONTOLOGY = Ontology.from_prompts(["cat", "dog"])


WIDTH, HEIGHT = 96, 64


ODD = [[0.123, 0.456, 95.9, 63.7], [10, 20, 30.333, 40.777]]


OBJECTS = Objects.create(
    ["dog", "cat", "cat"], [0.35, 0.9, 0.8], [*ODD, [1, 1, 2, 2]], keep=[True, True, False]
)


class Fixture:
    """A workspace of photos, each with the same objects but for the last, which has none."""

    def __init__(self, root: Path, paths: Sequence[Path]) -> None:
        self.root, self.out = root, root / "out"
        self.workspace = Workspace(root / "ws")
        self.records = [
            Record(content_id(p.read_bytes()), to_uri(p, root), WIDTH, HEIGHT, objects=OBJECTS)
            for p in paths
        ]
        self.records[-1] = replace(self.records[-1], objects=Objects.empty())
        self.write()

    def write(self, *records: Record) -> None:
        layer = self.workspace.layer("images")
        layer.path.mkdir(parents=True, exist_ok=True)
        layer.write_manifest(Manifest("images", source_root=str(self.root), shards=1))
        layer.write(0, records or self.records, None)

    def label(self) -> None:
        """Let the commands take the photos for labelled: a layer `detect` of the same records."""
        layer = self.workspace.layer("images")
        manifest = replace(layer.manifest, settings={"ontology": ONTOLOGY.to_mapping()})
        detect = begin(self.workspace, "detect", bound_to(manifest, layer), overwrite=True)
        detect.write(0, layer.read(0), layer.digest(0))

    def ids(self) -> list[str]:
        return [record.image_id for record in self.records]

    def config(self, format_name: str = "coco", **values: Any) -> ExportConfig:
        values.setdefault("out", str(self.out))
        return ExportConfig(format=format_name, **values)

    def export(self, format_name: str = "coco", **values: Any) -> ExportResult:
        layer = self.workspace.layer("images")
        return export(self.workspace, layer, ONTOLOGY, self.config(format_name, **values))

    def is_current(self, format_name: str = "coco", **values: Any) -> bool:
        layer = self.workspace.layer("images")
        return is_current(self.workspace, layer, ONTOLOGY, self.config(format_name, **values))

    def files(self) -> list[str]:
        """The files of the dataset, without our own hidden ones."""
        found = (p.relative_to(self.out) for p in self.out.rglob("*") if not p.is_dir())
        return sorted(p.as_posix() for p in found if not p.name.startswith(".autolabel"))


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path, make_photos(tmp_path / "photos", 5))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def ring_and_disc() -> npt.NDArray[np.bool_]:
    """Two masks (2, HEIGHT, WIDTH): a ring with a hole and a speck beside it, and a disc."""
    ys, xs = np.mgrid[:HEIGHT, :WIDTH]
    distance = np.hypot(xs - 30, ys - 30)
    ring = (distance < 20) & (distance > 10)
    ring[50:54, 60:64] = True
    return np.stack([ring, np.hypot(xs - 75, ys - 20) < 15])


@pytest.fixture
def masked(made: Fixture) -> Fixture:
    """On each of five photos a ring, a disc, a box without a mask, and a rejected box."""
    boxes = [[10, 10, 64, 54], [60, 5, 91, 36], [1, 1, 20, 9], [0, 0, 9, 9]]
    objects = Objects.create(
        ["dog", "cat", "cat", "cat"],
        [0.9, 0.8, 0.7, 0.2],
        boxes,
        mask=[*encode(ring_and_disc()), None, None],
        keep=[True, True, True, False],
        scores=[{"detector": 0.9}, {}, {}, {}],
    )
    made.write(*(replace(record, objects=objects) for record in made.records))
    return made
