"""The list of formats."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from autolabel.datasets.base import Carries
from autolabel.datasets.formats import FORMATS
from tests.conftest import Run
from tests.plugins import install, installed


def test_every_format_is_listed_with_what_it_carries(run: Run) -> None:
    rows = {row["name"]: row for row in run("formats", "--json").json()}
    assert list(rows) == list(FORMATS)
    for name, one in FORMATS.items():
        for way, side in (("read", one.reader), ("written", one.writer)):
            if side is None:
                assert rows[name][way] is None
                continue
            carried = {f.name: getattr(side.carries, f.name) for f in fields(Carries)}
            assert rows[name][way] == {"boxes": True, **carried}


def test_the_table_fits_a_narrow_terminal(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    done = run("formats")
    assert done.status == 0, done.err
    lines = done.out.splitlines()
    assert max(map(len, lines)) <= 80
    yolo = next(line for line in lines if line.startswith("yolo"))
    assert "read only" in yolo, "scores are read, and not written"


def test_a_package_s_format_is_listed_with_the_package(run: Run, tmp_path: Path) -> None:
    code = (Path(__file__).parents[1] / "datasets/toy_format.py").read_text("utf-8")
    install(tmp_path, "toys", code, {"autolabel.formats": {"toy": "toys:TOY"}})
    with installed(tmp_path):
        (toy,) = (r for r in run("formats", "--json").json() if r["name"] == "toy")
        assert "toys" in toy["source"]
        assert "toys" in run("formats").out
