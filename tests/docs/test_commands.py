"""Every shell command of the documentation is run, page by page, where its photos and models lie.

Pages run in a folder that looks like the repository's root with a few photos in it. A hub on this
machine serves the sample's small models under the names of published ones, so that what is tested
is the commands and how they follow each other.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from autolabel.cli import main
from tests.conftest import REPO

pytestmark = pytest.mark.docs

PAGES = [REPO / "README.md", *sorted((REPO / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.M | re.S)
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
