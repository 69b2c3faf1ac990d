"""The commands that made a layer are told again, and what differs elsewhere."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path

import pytest

from autolabel.stages.history import changes_elsewhere, command
from autolabel.store import Manifest, Workspace
from tests.layers import begin, finish


def made_of(name: str) -> dict[str, str]:
    return {"layer": name, "fingerprint": "0" * 32}


CATS = {"classes": {"cat": ["cat", "tabby"], "dog": ["dog"]}, "negatives": ["toy"]}


def made(home: Workspace, name: str, manifest: Manifest) -> None:
    with home.lock():
        finish(home, begin(home, name, manifest))


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    """Ingested, and searched for cats and dogs."""
    home = Workspace(tmp_path / "ws")
    made(home, "scan", Manifest(stage="scan", settings={}, source_root=str(tmp_path)))
    made(home, "images", Manifest(stage="ingest", settings={}, source=made_of("scan")))
    asked = {"ontology": CATS, "box_threshold": 0.2}
    made(home, "detect", Manifest(stage="detect", settings=asked, source=made_of("images")))
    return home


def words(home: Workspace) -> list[str]:
    return shlex.split(command(home, home.layer("detect")))


def test_prompts_are_told_by_the_workspaces_file_while_that_holds_them(home: Workspace) -> None:
    file = home.path / "ontology.yaml"
    file.write_text("classes: {cat: [cat, tabby], dog: [dog]}\nnegatives: [toy]\n")
    assert words(home)[:3] == ["autolabel", "detect", str(home.path)]
    assert words(home)[3:5] == ["--ontology", str(file)]
    assert "--prompt" not in words(home)
    assert words(home)[-2:] == ["--box-threshold", "0.2"]


@pytest.mark.parametrize("text", ["classes: {cow: [cow]}\n", "no: [mapping", None])
def test_prompts_are_told_themselves_where_the_file_holds_others(
    home: Workspace, text: str | None
) -> None:
    if text is not None:
        (home.path / "ontology.yaml").write_text(text)
    told = words(home)
    assert "--ontology" not in told
    pairs = list(itertools.pairwise(told))
    assert ("--prompt", "cat=cat, tabby") in pairs
    assert ("--prompt", "dog") in pairs
    assert ("--negative", "toy") in pairs


def test_what_another_workspace_has_otherwise_is_said(home: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other")
    newest = home.layer("detect")
    assert list(changes_elsewhere(home, newest, other)) == []
    made(other, "images", Manifest(stage="ingest", settings={"min_side": 9}))
    assert list(changes_elsewhere(home, newest, other)) == []
    asked = {"ontology": CATS, "box_threshold": 0.3}
    made(other, "detect", Manifest(stage="detect", settings=asked, source=made_of("images")))
    ((change,),) = changes_elsewhere(home, newest, other)
    assert "box_threshold" in change
