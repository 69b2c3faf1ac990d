from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.attack.forked import Forked
from tests.conftest import SAMPLE

MODELS = SAMPLE / "models"
FILTERS = [
    "--clip", MODELS / "clip", "--clip-margin", "0.01", "--dinov2", MODELS / "dinov2",
    "--min-side", "4", "--crowd-share", "0.5", "--dinov2-class", "0.1",
]  # fmt: skip


@pytest.fixture(scope="session")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that no command is given: nothing in it may be opened or changed."""
    folder = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(min((SAMPLE / "blood_cells/unlabeled").iterdir()), folder / "private.jpg")
    (folder / "secret.json").write_text('{"secret": 1}', "utf-8")
    return folder


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory, elsewhere: Path) -> Iterator[Forked]:
    one = Forked(tmp_path_factory.mktemp("said"), elsewhere)
    yield one
    one.close()


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    for path in sorted((SAMPLE / "blood_cells/unlabeled").iterdir())[:4]:
        shutil.copy(path, folder)
    return folder


@pytest.fixture(scope="session")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two hand-labelled photos."""
    folder = tmp_path_factory.mktemp("truth")
    source = SAMPLE / "blood_cells/validation"
    data = json.loads((source / "annotations.json").read_text("utf-8"))
    data["images"] = data["images"][:2]
    ids = [image["id"] for image in data["images"]]
    data["annotations"] = [a for a in data["annotations"] if a["image_id"] in ids]
    for image in data["images"]:
        shutil.copy(source / image["file_name"], folder)
    (folder / "annotations.json").write_text(json.dumps(data), "utf-8")
    return folder


@pytest.fixture(scope="session")
def made(
    tmp_path_factory: pytest.TempPathFactory, command: Forked, photos: Path, truth: Path
) -> Path:
    """A whole workspace: every stage, an export, a student, an evaluation and a report."""
    home = tmp_path_factory.mktemp("made") / "ws"
    prompts = ["--prompt", "red blood cell", "--prompt", "white blood cell", "--prompt", "platelet"]
    student = SAMPLE.parent / "configs/students/pico.yaml"
    for arguments in (
        ["ingest", photos, "-w", home, "--holdout", truth],
        ["detect", home, "--model", MODELS / "detector", *prompts, "--box-threshold", "0.3"],
        ["refine", home, "--model", MODELS / "segmenter"],
        ["filter", home, *FILTERS],
        ["export", home, "--format", "coco", "--out", home / "export/coco"],
        ["train", home, "--student", student, "--epochs", "1", "--imgsz", "64"],
        ["evaluate", home, "--truth", truth, "--layer", "filter"],
        ["report", home],
    ):
        done = command(*arguments, seconds=300, memory=2**36)
        assert done.status == 0, (arguments, done.err)
    return home
