"""The list of formats."""

from __future__ import annotations

from dataclasses import fields

import pytest

from autolabel.datasets.base import Carries
from autolabel.datasets.formats import FORMATS
from tests.conftest import Run
from tests.plugins import Install


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
