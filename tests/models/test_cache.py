"""Where autolabel keeps small files outside a workspace."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from autolabel.models.cache import cache_folder

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have other places")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


@pytest.mark.parametrize("named", [None, "", "/somewhere/else"])
def test_it_is_where_the_variable_says_or_in_the_home_folder(
    home: Path, monkeypatch: pytest.MonkeyPatch, named: str | None
) -> None:
    if named is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", named)
    assert cache_folder() == Path(named or home / ".cache") / "autolabel"


def test_a_folder_of_an_earlier_version_is_used_on_unless_there_is_one_now(home: Path) -> None:
    before = home / "Library" / "Caches" / "autolabel"
    before.mkdir(parents=True)
    assert cache_folder() == before
    (home / ".cache" / "autolabel").mkdir(parents=True)
    assert cache_folder() == home / ".cache" / "autolabel"
