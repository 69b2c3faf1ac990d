"""Every shell command of the documentation is run, page by page, where its photos and models lie.

Pages run in a folder that looks like the repository's root with a few photos in it. A hub on this
machine serves the sample's small models under the names of published ones, so that what is tested
is the commands and how they follow each other.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from autolabel.cli import main
from tests.conftest import REPO, SAMPLE
from tests.registry.fake_hub import serving

PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
PUBLISHED = {
    "IDEA-Research/grounding-dino-tiny": "detector",
    "facebook/sam-vit-base": "segmenter",
    "openai/clip-vit-base-patch32": "clip",
    "facebook/dinov2-small": "dinov2",
}
TRAINING = [
    "--epochs",
    "1",
    "--imgsz",
    "64",
    "--batch",
    "4",
    "--student",
    "configs/students/pico.yaml",
]
POOL, HELD_OUT = 10, 3


def commands(page: Path) -> list[list[str]]:
    """The words of each `autolabel` command in a page's shell blocks."""
    lines = [
        line
        for block in BLOCK.findall(page.read_text("utf-8"))
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("autolabel ")]


def with_commands() -> list[Path]:
    return [page for page in PAGES if commands(page)]


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


@pytest.mark.parametrize("page", with_commands(), ids=lambda p: str(p.relative_to(REPO)))
def test_the_commands_of_a_page_run(
    page: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in commands(page):
        if words[:1] == ["train"]:
            words = [*words, *TRAINING]
        if "--open" in words:
            words.remove("--open")
        if "ray" in words:  # what ray starts must not outlive the command
            assert run(words).returncode == 0
            continue
        with pytest.raises(SystemExit) as done:
            main(words)
        shown = capsys.readouterr()
        assert done.value.code == 0, f"autolabel {shlex.join(words)}\n{shown.err}"


def run(words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, which knows the small hub."""
    from huggingface_hub import constants

    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    env |= {"HF_ENDPOINT": constants.ENDPOINT, "HF_HUB_CACHE": constants.HF_HUB_CACHE}
    command = [sys.executable, "-m", "autolabel", *words]
    return subprocess.run(command, env=env, text=True, check=False)


def test_every_shell_line_of_the_documentation_is_a_command_that_runs() -> None:
    for page in PAGES[1:]:
        for block in BLOCK.findall(page.read_text("utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                assert line.startswith("autolabel ") or not line, f"{page.name}: {line}"
