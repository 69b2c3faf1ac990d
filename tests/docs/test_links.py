"""Links between the repository's pages lead somewhere; those on the site `mkdocs build` checks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.conftest import REPO

PAGES = [*sorted(REPO.glob("*.md")), *sorted((REPO / "docs").rglob("*.md"))]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(REPO)))
def test_a_relative_link_leads_to_a_file(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if not target.startswith(("http://", "https://", "#")):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_the_site_lists_every_page() -> None:
    listed = (REPO / "mkdocs.yml").read_text("utf-8")
    for page in (REPO / "docs").rglob("*.md"):
        assert f"{page.relative_to(REPO / 'docs').as_posix()}\n" in listed
