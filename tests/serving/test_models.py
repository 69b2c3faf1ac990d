"""A photo that is not in a workspace is labelled as one that is."""

from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.config import DetectConfig, EngineConfig, IngestConfig, RefineConfig, RelabelConfig
from autolabel.errors import AutolabelError
from autolabel.serving.models import Models
from autolabel.stages.table import STAGES
from autolabel.store import Workspace
from tests.conftest import make_photos
from tests.datasets.conftest import Fixture

ENGINE = EngineConfig(device="cpu")


def test_detected_refined_and_relabelled(
    tmp_path: Path, random_detector: Path, random_segmenter: Path
) -> None:
    photos = make_photos(tmp_path / "photos", 2)
    workspace = Workspace(tmp_path / "ws")
    source = IngestConfig(source=(str(photos[0].parent),), near_bits=-1)
    found = DetectConfig(model=str(random_detector), prompt=("cat", "dog"), box_threshold=0.0)
    STAGES["ingest"].run(workspace, source, ENGINE)
    STAGES["detect"].run(workspace, found, ENGINE)
    STAGES["relabel"].run(workspace, RelabelConfig(rename={"cat": "feline"}), ENGINE)
    STAGES["refine"].run(workspace, RefineConfig(model=str(random_segmenter)), ENGINE)
    layer = workspace.layer("refine")
    models = Models(layer, "cpu")
    for record, photo in zip(layer.records(), photos, strict=True):
        again = models.label(photo)
        assert (again.image_id, again.width) == (record.image_id, record.width)
        assert again.objects == record.objects
        assert again.pixels is None


def test_labels_of_people_alone_have_no_model(tmp_path: Path) -> None:
    made = Fixture(tmp_path, make_photos(tmp_path / "photos", 1))
    with pytest.raises(AutolabelError, match="no model made") as raised:
        Models(made.workspace.layer("images"), "cpu")
    assert "--no-model" in raised.value.hint
