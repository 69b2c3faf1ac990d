"""One table for what is built in and what other packages register."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from autolabel.plugins import BUILT_IN, PluginTable, named, problems_met
from tests.plugins import install, installed

GROUP = "autolabel.test_colours"


@pytest.fixture
def table() -> Iterator[PluginTable[int]]:
    def wrong(name: str, value: int) -> str | None:
        return "it is below zero" if value < 0 else None

    made = PluginTable("colour", GROUP, {"red": 1, "late": "sys:maxsize"}, int, wrong)
    yield made
    PluginTable.tables.remove(made)


def test_plugins_come_after_the_built_in_ones_by_name(
    table: PluginTable[int], tmp_path: Path
) -> None:
    install(tmp_path, "pots", "A, B = 5, 6", {GROUP: {"green": "pots:B", "blue": "pots:A"}})
    with installed(tmp_path):
        assert dict(table) == {"red": 1, "late": sys.maxsize, "blue": 5, "green": 6}
        assert len(table) == 4
        assert [table.source(name) for name in ("red", "blue")] == [BUILT_IN, "pots 1.0"]
        assert "blue" in table
        assert problems_met() == ()
    assert list(table) == ["red", "late"]


def test_a_built_in_value_needs_no_plugin(table: PluginTable[int], tmp_path: Path) -> None:
    install(tmp_path, "pots", "raise RuntimeError('spilt')", {GROUP: {"blue": "pots:A"}})
    with installed(tmp_path):
        assert table["red"] == 1
        assert "red" in table
        assert problems_met() == ()
        assert "blue" not in table
        (line,) = problems_met()
        assert line == "colour 'blue' of pots 1.0 is left out: RuntimeError: spilt"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("blue", "A = 'five'", "it is a str, not a int"),
        ("blue", "A = -5", "it is below zero"),
        ("red", "A = 5", "one of autolabel's own"),
        ("blue", "import sys; sys.exit(3)", "SystemExit: 3"),
        ("blue", "A = 5 +", "SyntaxError"),
        ("blue", "B = 5", "no attribute 'A'"),
    ],
)
def test_a_broken_plugin_costs_its_own_name(
    table: PluginTable[int], tmp_path: Path, name: str, code: str, said: str
) -> None:
    install(tmp_path, "pots", code, {GROUP: {name: "pots:A"}})
    install(tmp_path, "vats", "A = 7", {GROUP: {"white": "vats:A"}})
    with installed(tmp_path):
        assert dict(table) == {"red": 1, "late": sys.maxsize, "white": 7}
        (line,) = problems_met()
    assert f"{name!r} of pots 1.0" in line
    assert said in line


def test_of_two_packages_with_one_name_the_second_is_told_of_the_first(
    table: PluginTable[int], tmp_path: Path
) -> None:
    for package in ("pots", "vats"):
        install(tmp_path, package, "A = 5", {GROUP: {"blue": f"{package}:A"}})
    with installed(tmp_path):
        first, second = table.source("blue"), problems_met()
    assert {first, second[0].split(" of ")[1].split(" is left")[0]} == {"pots 1.0", "vats 1.0"}
    assert f"registered by {first} too" in second[0]


def test_a_package_whose_list_is_damaged_costs_what_it_registers(
    table: PluginTable[int], tmp_path: Path
) -> None:
    install(tmp_path, "pots", "A = 5", {GROUP: {"blue": "pots:A"}})
    install(tmp_path, "vats", "A = 7", {GROUP: {"white": "vats:A"}})
    damaged = tmp_path / "pots-1.0.dist-info" / "entry_points.txt"
    damaged.write_text(f"[{GROUP}]\nno equals sign\n", "utf-8")
    with installed(tmp_path):
        assert dict(table) == {"red": 1, "late": sys.maxsize, "white": 7}
        (line,) = problems_met()
    assert "pots" in line


def test_a_name_that_nobody_registers(table: PluginTable[int]) -> None:
    with pytest.raises(KeyError):
        table["mauve"]
    with pytest.raises(ModuleNotFoundError):
        named("no_such_package:A")
