from __future__ import annotations

import json
import re
import webbrowser
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import Run
from tests.report import made
from tests.report.pages import Page, checked, report


@pytest.mark.parametrize("out", [".", "..", "folder", "/"])
def test_a_folder_in_the_place_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run, out: str
) -> None:
    home = made.workspace(tmp_path)
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    done = run("report", home.path, "--out", out)
    assert done.status == 2
    assert "is a folder, and the report is a file" in done.err
    assert "--out FOLDER/report.html" in done.err


def test_the_same_page_twice(full: Workspace) -> None:
    first, second = (re.sub(r"Written on [^<]*", "", report(full).html) for _ in range(2))
    assert first == second


def test_command(run: Run, full: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    done = run("report", full.path)
    assert done.status == 0, done.err
    assert "the labels find about 75" in done.err
    out = full.path / "report/report.html"
    assert f"-> {out}" in done.err
    assert not opened
    out.write_text("an older page")
    done = run("report", full.path, "--open", "--json", "--images", 0, "--crops", 0)
    assert opened == [out.resolve().as_uri()]
    assert done.json()["size"] == out.stat().st_size
    assert not checked(Page(out.read_text())).pictures
    assert [p.name for p in out.parent.iterdir()] == ["report.html"]


def test_mistakes(run: Run, full: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for arguments, status, said in [
        ((full.path, "--layer", "nothing"), 1, "has no layer 'nothing'"),
        ((full.path, "--out", tmp_path / "file/page.html"), 1, "cannot be written"),
        ((full.path, "--images", "-1"), 2, "--images"),
        ((tmp_path / "none",), 2, "does not exist"),
    ]:
        done = run("report", *arguments)
        assert (done.status, said in done.err) == (status, True), done.err
        assert "hint:" in done.err


def test_a_run_ends_with_the_report(
    run: Run, tmp_path: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.make_photos(tmp_path / "photos", 2)
    monkeypatch.chdir(tmp_path)
    config = {
        "workspace": "ws",
        "engine": {"device": "cpu"},
        "ingest": {"source": "photos"},
        "detect": {"model": str(random_detector), "prompt": ["red cell", "dog"]},
        "report": {"images": 1},
    }
    (tmp_path / "run.yaml").write_text(json.dumps(config))
    done = run("run", "run.yaml")
    assert done.status == 0, done.err
    assert "-> ws/report/report.html" in done.err.splitlines()[-1]
    page = checked(Page((tmp_path / "ws/report/report.html").read_text()))
    assert "autolabel run pipeline.yaml" in page.text
    assert "--prompt" not in page.text
    assert "autolabel detect ws --ontology ws/ontology.yaml" in page.text
