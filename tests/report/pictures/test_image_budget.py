from __future__ import annotations

import re

import pytest

from autolabel.report.pictures import image_budget
from autolabel.store import Workspace
from tests.report.pages import report


def test_pictures_beyond_the_budget_are_left_out(
    full: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = report(full)
    monkeypatch.setattr(image_budget.ImageBudget.__init__, "__defaults__", (8_000,))
    page = report(full)
    left = re.search(r"(\d+) pictures are left out to keep this page small", page.text)
    assert left
    assert len(page.pictures) + int(left[1]) == len(whole.pictures)
    assert sum(len(str(a["src"])) for a in page.all("img")) < 9_000 + 30 * len(page.pictures)
