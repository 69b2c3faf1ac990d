"""Models that another installed package registers, and packages that are broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import make_photos
from tests.models.hub import COMMIT, put_in_cache
from tests.plugins import install

PLUGIN = """
import numpy as np
from autolabel.registry import Registered
from autolabel.types import Objects

MIDDLE = Registered(
    task="detector", hub_id="example/middle", licence="MIT", parameters_millions=0.1,
    adapter="autolabel_example:Middle", model_type="middle",
)


class Middle:
    '''Finds the first class in the middle of every image.'''

    def __init__(self, located, device):
        self.weights = (located.path / "model.safetensors").read_bytes()

    def detect(self, images, ontology, min_score):
        return [self.one(image, ontology.names[0]) for image in images]

    def one(self, image, name):
        height, width = image.shape[:2]
        box = [width / 4, height / 4, 3 * width / 4, 3 * height / 4]
        return Objects.create([name], [0.9], [box], scores=[{"detector": 0.9}])
"""
BROKEN = {
    "raises": ("raise RuntimeError('out of order')", "anything", "out of order"),
    "exits": ("raise SystemExit(3)", "anything", "SystemExit"),
    "lacks it": ("", "MISSING", "MISSING"),
    "other kind": ("THING = 3", "THING", "not a Registered"),
    "no such task": (
        "from autolabel.registry import Registered\nTHING = Registered('cook', 'a/b')",
        "THING",
        "no task 'cook'",
    ),
}


def autolabel(home: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(home), os.environ["PYTHONPATH"]])
    env = {**os.environ, "PYTHONPATH": path, "HF_HUB_CACHE": str(home / "cache")}
    command = [sys.executable, "-m", "autolabel", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with the example plugin, whose checkpoint is in the hub's cache."""
    entries = {"autolabel.models": {"middle": "autolabel_example:MIDDLE"}}
    install(tmp_path, "autolabel_example", PLUGIN, entries)
    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    (checkpoint / "config.json").write_text('{"model_type": "middle"}', "utf-8")
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    put_in_cache(tmp_path / "cache", "example/middle", checkpoint)
    make_photos(tmp_path / "photos", 1, (80, 40))
    return tmp_path


@pytest.mark.parametrize("model", ["middle", "example/middle", "checkpoint"])
def test_a_plugins_model_is_run_by_its_own_adapter(home: Path, model: str) -> None:
    given = home / model if model == "checkpoint" else model
    done = autolabel(
        home, "detect", home / "photos", "-w", home / "ws", "--prompt", "cat", "--model", given
    )
    assert done.returncode == 0, done.stderr
    (record,) = Workspace(home / "ws").layer("detect").read(0)
    assert record.objects.label.tolist() == ["cat"]
    assert record.objects.xyxy.tolist() == [[20, 10, 60, 30]]


def test_a_plugins_model_is_listed_with_its_source(home: Path) -> None:
    done = autolabel(home, "models", "--json")
    (row,) = (row for row in json.loads(done.stdout) if row["name"] == "middle")
    assert row["source"] == "autolabel_example 1.0"
    assert (row["revision"], row["parameters_millions"]) == (COMMIT, 0.1)
    assert "(by autolabel_example 1.0)" in autolabel(home, "models").stdout


def test_an_adapter_that_is_gone_is_an_error_of_one_line(home: Path) -> None:
    code = PLUGIN.replace("autolabel_example:Middle", "autolabel_example:Gone")
    (home / "autolabel_example.py").write_text(code, "utf-8")
    photos, ws = home / "photos", home / "ws"
    done = autolabel(home, "detect", photos, "-w", ws, "--prompt", "cat", "--model", "middle")
    assert done.returncode == 1
    assert done.stderr.count("error:") == done.stderr.count("hint:") == 1
    assert "autolabel_example:Gone" in done.stderr


@pytest.mark.parametrize(("code", "attribute", "said"), BROKEN.values(), ids=BROKEN)
def test_a_broken_plugin_costs_a_warning(home: Path, code: str, attribute: str, said: str) -> None:
    install(
        home,
        "autolabel_broken",
        code,
        {"autolabel.models": {"broken": f"autolabel_broken:{attribute}"}},
    )
    done = autolabel(home, "models", "--json")
    assert done.returncode == 0, done.stderr
    names = {row["name"] for row in json.loads(done.stdout)}
    assert {"middle", "grounding-dino-tiny"} <= names
    assert "broken" not in names
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("warning:"))
    assert "'broken' of autolabel_broken 1.0" in line
    assert said in line


def test_help_and_other_models_do_not_mind_a_broken_plugin(home: Path, detector: Path) -> None:
    code, attribute, _ = BROKEN["raises"]
    install(
        home,
        "autolabel_broken",
        code,
        {"autolabel.models": {"broken": f"autolabel_broken:{attribute}"}},
    )
    helped = autolabel(home, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    done = autolabel(
        home, "detect", home / "photos", "-w", home / "ws", "--prompt", "cell", "--model", detector
    )
    assert done.returncode == 0, done.stderr


def test_a_plugin_cannot_take_a_name_of_ours(home: Path) -> None:
    code = "from autolabel.registry import Registered\nOURS = Registered('detector', 'evil/evil')"
    install(
        home,
        "autolabel_broken",
        code,
        {"autolabel.models": {"grounding-dino-tiny": "autolabel_broken:OURS"}},
    )
    done = autolabel(home, "models", "--json")
    rows = {row["name"]: row for row in json.loads(done.stdout)}
    assert rows["grounding-dino-tiny"]["hub_id"] == "IDEA-Research/grounding-dino-tiny"
    assert "one of autolabel's own" in done.stderr
