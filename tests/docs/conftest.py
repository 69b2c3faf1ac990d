"""A folder like the repository's root, in which the documentation is tried."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import REPO, SAMPLE
from tests.registry.fake_hub import serving

PUBLISHED = {
    "IDEA-Research/grounding-dino-tiny": "detector",
    "facebook/sam-vit-base": "segmenter",
    "openai/clip-vit-base-patch32": "clip",
    "facebook/dinov2-small": "dinov2",
}
"""Models that the documentation names -> those of the sample that a hub here serves for them."""

POOL, HELD_OUT = 10, 3
"""Photos of the pool, and labelled by hand."""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder like the repository's root: a few photos, hand labels, a hub of small models."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").symlink_to(REPO / "configs")
    cells = tmp_path / "sample_data" / "blood_cells"
    shutil.copytree(SAMPLE / "models", tmp_path / "sample_data" / "models")
    _some(SAMPLE / "blood_cells" / "unlabeled", cells / "unlabeled", POOL)
    _hand_labelled(cells / "validation")
    shutil.copytree(cells / "unlabeled", tmp_path / "photos")
    shutil.copytree(cells / "validation", tmp_path / "labelled_by_hand")
    with serving() as hub:
        hub.repositories = {
            name: {f.name: f.read_bytes() for f in (SAMPLE / "models" / model).iterdir()}
            for name, model in PUBLISHED.items()
        }
        constants: dict[str, Any] = {
            "ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HUB_CACHE": str(tmp_path / "hub"),
            "HF_HUB_OFFLINE": False,
        }
        constants["HUGGINGFACE_CO_URL_TEMPLATE"] = (
            constants["ENDPOINT"] + "/{repo_id}/resolve/{revision}/{filename}"
        )
        for name, value in constants.items():
            monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
        yield tmp_path


def _some(source: Path, folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for path in sorted(p for p in source.iterdir() if p.suffix == ".jpg")[:count]:
        shutil.copy(path, folder)


def _hand_labelled(folder: Path) -> None:
    source = SAMPLE / "blood_cells" / "validation"
    _some(source, folder, HELD_OUT)
    coco = json.loads((source / "annotations.json").read_text())
    coco["images"] = [i for i in coco["images"] if (folder / Path(i["file_name"]).name).exists()]
    known = {image["id"] for image in coco["images"]}
    coco["annotations"] = [a for a in coco["annotations"] if a["image_id"] in known]
    (folder / "annotations.json").write_text(json.dumps(coco))
