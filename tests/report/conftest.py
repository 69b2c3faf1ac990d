from __future__ import annotations

from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.report import made


@pytest.fixture
def full(tmp_path: Path) -> Workspace:
    """Labels, hand labels on the same photos, and a student."""
    home = made.workspace(tmp_path)
    made.measured(home, made.truth(tmp_path), student="tiny")
    held_out = [f"held_{i}.jpg" for i in range(72)]
    settings = {"imgsz": 256, "epochs": 100, "holdout": held_out}
    made.trained(home, "tiny", resumed_from=[2], skipped={"leak": 4}, settings=settings)
    return home
