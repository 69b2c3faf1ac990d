"""The ids of classes: a name keeps its own, whatever comes later."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.errors import AutolabelError
from autolabel.store import Manifest, Workspace, lock_names, locked_names


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_name_keeps_its_id_and_a_new_one_comes_last(home: Workspace) -> None:
    with home.lock():
        assert lock_names(home, ["cat", "чашка"]) == ("cat", "чашка")
        assert lock_names(home, ["dog", "чашка", "cat", "dog"]) == ("cat", "чашка", "dog")
    assert locked_names(Workspace(home.path)) == ("cat", "чашка", "dog")


def test_nothing_is_locked_by_looking(home: Workspace) -> None:
    assert locked_names(home) == ()
    assert not home.path.exists()


def test_the_file_is_written_only_for_a_new_name(home: Workspace) -> None:
    with home.lock():
        lock_names(home, ["cat", "dog"])
        file = home.path / "classes.json"
        before = file.stat().st_ino
        lock_names(home, ["dog"])
        assert file.stat().st_ino == before
        with pytest.raises(ValueError, match="needs a name"):
            lock_names(home, [""])


def test_an_older_workspace_has_the_order_of_its_labels(home: Workspace) -> None:
    layer = home.layer("detect")
    layer.path.mkdir(parents=True)
    ontology = {"classes": {"dog": ["dog"], "cat": ["kitten"]}, "negatives": []}
    layer.write_manifest(Manifest("detect", settings={"ontology": ontology}))
    assert locked_names(home) == ("dog", "cat")
    with home.lock():
        assert lock_names(home, ["bird", "cat"]) == ("dog", "cat", "bird")
    assert json.loads((home.path / "classes.json").read_text("utf-8")) == {
        "names": ["dog", "cat", "bird"]
    }


@pytest.mark.parametrize(
    "content",
    [
        "", "[]", "{}", '{"names": "cat"}', '{"names": ["cat", 3]}', '{"names": ["cat", ""]}',
        '{"names": ["cat", "cat"]}', '{"names": ["cat"', '{"names": ["\\ud800"]}', "[" * 100_000,
        "null", "\x00\xff",
    ],
)  # fmt: skip
def test_what_is_no_list_of_classes_is_refused_and_left_alone(
    home: Workspace, content: str
) -> None:
    home.path.mkdir()
    file = home.path / "classes.json"
    file.write_text(content, "utf-8")
    with pytest.raises(AutolabelError, match="does not list the classes") as e:
        locked_names(home)
    assert "delete it" in e.value.hint
    with home.lock(), pytest.raises(AutolabelError):
        lock_names(home, ["cat"])
    assert file.read_text("utf-8") == content


def test_what_is_no_file_is_refused(home: Workspace) -> None:
    (home.path / "classes.json").mkdir(parents=True)
    with pytest.raises(AutolabelError, match="it is a folder"):
        locked_names(home)


@given(st.lists(st.lists(st.text(min_size=1), max_size=6), min_size=1, max_size=5))
def test_ids_only_grow(tmp_path_factory: pytest.TempPathFactory, runs: list[list[str]]) -> None:
    home = Workspace(tmp_path_factory.mktemp("ws"))
    before: tuple[str, ...] = ()
    for names in runs:
        after = lock_names(home, names)
        assert after[: len(before)] == before == after[: len(before)]
        assert set(after) == {*before, *names}
        assert locked_names(home) == after
        before = after
