"""What the page says of labels that people judged on a random sample."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest

from autolabel.config import ReportConfig
from autolabel.metrics.sampling import share_interval
from autolabel.report import is_current
from autolabel.review.answer import Answer
from autolabel.store import Workspace
from tests.report.pages import report
from tests.review import made


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return made.workspace(tmp_path)


def judge(home: Workspace, actions: list[str], **options: object) -> None:
    at = made.review(home, **options)
    for key, action in zip(at.session.items, actions, strict=False):
        at.session.decide(Answer(id=uuid4().hex, key=key, action=action))


def test_an_audit_has_a_section_of_its_own(home: Workspace) -> None:
    assert "Judged blind" not in report(home).text
    layer = home.require("detect")
    assert is_current(home, layer, ReportConfig())
    judge(home, ["accept"] * 6 + ["reject"] * 2 + ["missing"], audit=8)
    assert not is_current(home, layer, ReportConfig())
    page = report(home)
    assert "People judged 8 of the 24 labels of detect/" in page.text
    assert "6 right, 0 on an object but with another class or box, 2 wrong" in page.text
    assert "75 % of labels right, judged blind" in page.text
    low, high = share_interval(6, 8, 24) or (0, 1)
    assert f"0.750 {low:.2f} to {high:.2f}" in page.text
    assert "have changed since" not in page.text
    assert "2 looks of the sample are left" in page.text
    judge(home, ["reject"])
    assert "The labels have changed since" in report(home).text


def test_a_damaged_audit_is_said(home: Workspace) -> None:
    judge(home, ["accept"], audit=4)
    (home.path / "decisions" / "audit-1.json").write_text("{}")
    page = report(home)
    assert "audit-1.json cannot be read" in page.text
    assert "no audit is shown" in page.text
