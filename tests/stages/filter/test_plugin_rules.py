"""A rule of an installed package, in one file, and packages that are broken."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from autolabel.cli.complete import plugin_rules, rules
from autolabel.config import EngineConfig, FilterConfig, build
from autolabel.errors import UsageError
from autolabel.stages.filter import active, filter_labels
from autolabel.stages.history import options_of
from autolabel.stages.table import STAGES
from autolabel.store import Manifest, Workspace, bound_to
from autolabel.testing import check_rule
from autolabel.types import Objects
from tests.conftest import Run, make_photos
from tests.layers import begin, finish
from tests.plugins import install, installed

GROUP = "autolabel.filter_rules"
PLUGIN = '''
import numpy as np
from autolabel.config import Config
from autolabel.stages.filter import Rule


def crowded(image, most):
    """Reject the labels of an image with more than so many of them."""
    n = int(image.alive.sum())
    return np.full(len(image.alive), n > most), [f"{n} > {most}"] * len(image.alive)


class Corner(Config):
    width: float
    height: float = 10


def in_corner(image, corner):
    """Reject boxes that end within the upper left corner."""
    ends = image.record.objects.xyxy[:, 2:]
    inside = (ends <= [corner.width, corner.height]).all(axis=1)
    return inside, [f"{x:g}, {y:g}" for x, y in ends]


CROWDED = Rule(crowded, option=int)
CORNER = Rule(in_corner, option=Corner)
UNSURE = Rule(crowded, needs="probabilities")
'''
ENTRIES = {"crowded": "CROWDED", "in-corner": "CORNER", "unsure": "UNSURE"}
BOXES = [[0, 0, 5, 5], [0, 0, 30, 30], [40, 5, 50, 20]]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with the package, which is installed, and a workspace of two photos.

    The first has three labels, the second one.
    """
    install(tmp_path, "toys", PLUGIN, {GROUP: {n: f"toys:{a}" for n, a in ENTRIES.items()}})
    make_photos(tmp_path / "photos", 2)
    with installed(tmp_path):
        yield tmp_path


@pytest.fixture
def workspace(home: Path, run: Run) -> Workspace:
    assert run("ingest", home / "photos", "-w", home / "ws").status == 0
    workspace = Workspace(home / "ws")
    images = workspace.require("images")
    manifest = Manifest("detect", {"ontology": {"classes": {"cat": ["cat"]}}})
    layer = begin(workspace, "detect", bound_to(manifest, images), overwrite=True)
    records = [
        replace(record, objects=Objects.create(["cat"] * n, [0.5] * n, BOXES[:n]))
        for record, n in zip(images.read(0), (3, 1), strict=True)
    ]
    layer.write(0, records, images.digest(0))
    finish(workspace, layer)
    return workspace


def reasons(workspace: Workspace) -> list[list[str | None]]:
    return [r.objects.reason.tolist() for r in workspace.require("filter").read(0)]


def test_they_keep_the_contract(home: Path) -> None:
    check_rule("in-corner", {"width": 40, "height": 40})


def test_the_commands_run_them(workspace: Workspace, run: Run) -> None:
    flags = ("--plugin-rule", "in-corner={width: 10}", "--plugin-rule", "crowded=1")
    tried = run("filter", workspace.path, "--dry-run", "--json", *flags)
    assert tried.status == 0, tried.err
    found = {row["rule"]: (row["alone"], row["classes"]) for row in tried.json()["rules"]}
    assert found == {"in-corner": (2, {"cat": 2}), "crowded": (3, {"cat": 2})}
    done = run("filter", workspace.path, *flags)
    assert done.status == 0, done.err
    assert reasons(workspace) == [
        ["in-corner: 5, 5", "crowded: 2 > 1", "crowded: 2 > 1"],
        ["in-corner: 5, 5"],
    ]
    swapped = run("filter", workspace.path, *flags, "--rules", "crowded", "--rules", "in-corner",
                  "--overwrite")  # fmt: skip
    assert swapped.status == 0, swapped.err
    assert reasons(workspace) == [["crowded: 3 > 1"] * 3, ["in-corner: 5, 5"]]


def test_the_layer_is_bound_to_the_value_and_the_package(workspace: Workspace, run: Run) -> None:
    config = build(FilterConfig, {"plugin_rule": {"crowded": 2}}, flags=False)
    layer = filter_labels(workspace, config, EngineConfig()).layer
    assert layer.manifest.settings["plugin_rule"] == {"crowded": 2}
    assert options_of(layer.manifest) == config  # as it is run on hand-labelled photos
    asked = STAGES["filter"].bound(workspace, config)  # as `run --dry-run` asks
    assert not layer.manifest.changes_to(replace(asked, source=layer.manifest.source))
    again = run("filter", workspace.path, "--plugin-rule", "crowded=2")
    assert "nothing to do" in again.err
    assert run("filter", workspace.path, "--plugin-rule", "crowded=3").status == 1
    (metadata,) = workspace.path.parent.glob("toys-*/METADATA")
    metadata.write_text(metadata.read_text().replace("1.0", "1.1"), "utf-8")
    with installed(workspace.path.parent):
        newer = run("filter", workspace.path, "--plugin-rule", "crowded=2")
    assert newer.status == 1
    assert "toys 1.1" in newer.err


def test_no_other_layer_knows_of_plugins(workspace: Workspace) -> None:
    layer = filter_labels(workspace, FilterConfig(min_side=6), EngineConfig()).layer
    assert not [name for name in layer.manifest.settings if "plugin" in name]


def test_they_are_offered_and_listed(home: Path) -> None:
    assert {"min_side", "crowded", "in-corner"} <= set(rules(None, ""))
    assert plugin_rules(None, "c") == ["crowded="]
    with pytest.raises(UsageError) as error:
        active(FilterConfig(plugin_rule={"blurry": 1}))
    assert "crowded, in-corner" in (error.value.hint or "")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"crowdedd": 1}, "no rule 'crowdedd'"),
        ({"min_side": 1}, "no rule 'min_side'"),
        ({"crowded": "many"}, "plugin_rule crowded cannot be 'many'"),
        ({"in-corner": {"width": 1, "depth": 2}}, "plugin_rule in-corner.depth"),
        ({"in-corner": {}}, "plugin_rule in-corner.width"),
        ({"unsure": 1}, "unsure needs an embedder"),
    ],
)
def test_what_they_do_not_take_is_refused(home: Path, given: dict, said: str) -> None:
    with pytest.raises(UsageError) as error:
        active(FilterConfig(plugin_rule=given))
    assert said in error.value.message
    assert error.value.hint


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("broken", "THING = print", "not a Rule"),
        ("min_side", "THING = Rule(print)", "one of autolabel's own"),
        ("max_per_group", "THING = Rule(print)", "one of the filter's options"),
        ("broken", "THING = Rule(print, needs='luck')", "no evidence 'luck'"),
        ("broken", "raise RuntimeError('out of order')", "out of order"),
    ],
)
def test_a_broken_package_costs_a_warning(
    workspace: Workspace, run: Run, name: str, code: str, said: str
) -> None:
    home = workspace.path.parent
    code = f"from autolabel.stages.filter import Rule\n{code}"
    install(home, "broken", code, {GROUP: {name: "broken:THING"}})
    with installed(home):
        done = run("filter", workspace.path, "--plugin-rule", "crowded=1", "--json")
        assert done.status == 0, done.err
        assert json.loads(done.out)["filter"]["kept"] == 1
        assert said in done.err
        unknown = run("filter", workspace.path, "--plugin-rule", f"{name}=1", "--overwrite")
        assert unknown.status == 2
