"""The Python of the documentation runs, page by page; what it defines keeps its contract."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import REPO

pytestmark = pytest.mark.docs

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def run(page: str) -> dict[str, Any]:
    """Run a page's blocks one after the other; what they define."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in BLOCK.findall((REPO / "docs" / page).read_text("utf-8")):
        exec(compile(block, page, "exec"), names)
    return names


def test_the_api_page(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = run("guides/python.md")
    assert "did you mean 'box_threshold'?" in capsys.readouterr().out
    assert names["done"].steps["detect"].images == 10
    assert len(names["found"]) > 0
    assert [row.name for row in names["result"].rows] == ["detect", "filter"]


def test_the_workspace_page(place: Path) -> None:
    run("guides/python.md")
    assert run("reference/workspace.md")["table"].num_rows == 10


def test_the_plugins_page(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from autolabel.config import FilterConfig
    from autolabel.datasets.base import Format
    from autolabel.testing import check_stage
    from autolabel.testing.filter_rule import RULE_CHECKS, RuleOn

    names = run("guides/plugins.md")
    for check in RULE_CHECKS:
        check(RuleOn(names["LOW"], 0.4, FilterConfig()))
    assert isinstance(names["BOXES"], Format)
    package = ModuleType("my_package")
    vars(package).update(names)
    names["ShrinkConfig"].__module__ = "my_package"
    monkeypatch.setitem(sys.modules, "my_package", package)
    check_stage(names["SHRINK"], names["ShrinkConfig"](by=0.05))
    assert names["CORNER"].task == "detector"
