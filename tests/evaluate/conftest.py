from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import make_photos
from tests.evaluate.scene import AWAY, BOX, Scene, write_truth


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory, random_detector: Path) -> Scene:
    from autolabel.config import DetectConfig, EngineConfig, FilterConfig, IngestConfig
    from autolabel.stages import filter as filtering
    from autolabel.stages.detect import detect
    from autolabel.stages.ingest import ingest

    root = tmp_path_factory.mktemp("compare")
    photos = make_photos(root / "photos", 10)
    held = [path.rename(path.with_name(f"held{path.name}")) for path in photos[6:]]
    (root / "held").mkdir()
    held = [path.rename(root / "held" / path.name) for path in held]
    write_truth(root / "held", held, {"cat": BOX, "dog": AWAY})
    ws, engine = Workspace(root / "ws"), EngineConfig(device="cpu")
    source = IngestConfig(source=(str(root / "photos"),), holdout=(str(root / "held"),))
    ingest(ws, source, engine)
    found = DetectConfig(model=str(random_detector), prompt=("cat", "dog"), box_threshold=0.1)
    detect(ws, found, engine)
    filtering.filter_labels(ws, FilterConfig(min_side=6), engine)
    return Scene(root / "ws", held, root / "held")


@pytest.fixture
def scene(template: Scene, tmp_path: Path) -> Scene:
    """A workspace to change."""
    home = tmp_path / "ws"
    shutil.copytree(template.home, home)
    return Scene(home, template.held, template.truth)
