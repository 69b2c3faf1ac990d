from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.review import made


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A workspace that no test changes."""
    return made.workspace(tmp_path_factory.mktemp("review"))


@pytest.fixture
def home(built: Workspace, tmp_path: Path) -> Workspace:
    """Four photos with six labels each."""
    return Workspace(shutil.copytree(built.path, tmp_path / "ws"))
