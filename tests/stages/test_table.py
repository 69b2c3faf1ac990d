"""The table of stages: our own keep what it promises, and one of another package is one of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from autolabel.config import EngineConfig
from autolabel.evaluate.replay import replay
from autolabel.stages.history import commands
from autolabel.stages.table import GROUP, STAGES, StageEntry, label_layers
from autolabel.store import Layer, Workspace
from autolabel.testing import ContractError, check_stage
from autolabel.testing.stage import says_what_it_is
from tests.conftest import Run, make_photos
from tests.plugins import install, installed
from tests.stages.toy_stage import DARKNESS, Darkness, DarknessConfig, brightness

DARKEST = 0.5


@pytest.fixture
def toy(tmp_path: Path) -> Iterator[None]:
    """The package with the stage is installed."""
    code = Path(__file__).with_name("toy_stage.py").read_text("utf-8")
    install(tmp_path, "toys", code, {GROUP: {"darkness": "toys:DARKNESS"}})
    with installed(tmp_path):
        yield


@pytest.fixture
def detect(tmp_path: Path, random_detector: Path) -> dict[str, Any]:
    make_photos(tmp_path / "photos", 4)
    return {"model": str(random_detector), "prompt": ["cat", "dog"], "box_threshold": 0.1}


def as_flags(options: dict[str, Any]) -> list[str]:
    flags = ["--model", options["model"], "--box-threshold", str(options["box_threshold"])]
    return flags + [word for prompt in options["prompt"] for word in ("--prompt", prompt)]


def assert_judged(layer: Layer, photos: Path) -> None:
    from autolabel.ops.images import read_image

    kept = rejected = 0
    for record in layer.records():
        pixels = read_image(photos / Path(record.uri).name, record.image_id)
        for box, keep, scores in zip(
            record.objects.xyxy.tolist(), record.objects.keep, record.objects.scores, strict=True
        ):
            assert scores["brightness"] == pytest.approx(brightness(pixels, box))
            assert keep == (scores["brightness"] >= DARKEST)
            kept, rejected = kept + keep, rejected + (not keep)
    assert kept > 0
    assert rejected > 0


@pytest.mark.usefixtures("toy")
def test_a_stage_of_one_file_has_a_command(
    run: Run, tmp_path: Path, detect: dict[str, Any]
) -> None:
    ws = tmp_path / "ws"
    assert "Reject labels on dark ground." in run("--help").out
    assert "--darkest" in run("darkness", "--help").out
    assert run("detect", tmp_path / "photos", "-w", ws, *as_flags(detect)).status == 0
    assert run("darkness", ws, "--darkest", "2").status == 2
    done = run("darkness", ws, "--darkest", DARKEST, "--json")
    assert done.status == 0, done.err
    shown = done.json()["darkness"]
    assert (shown["source"], shown["settings"]) == ("detect", {"darkest": DARKEST})
    assert_judged(Workspace(ws).require("darkness"), tmp_path / "photos")
    assert "nothing to do" in run("darkness", ws, "--darkest", DARKEST).err
    assert run("darkness", ws, "--darkest", 0.1).status == 1  # it is bound to its options
    status = run("status", ws, "--json").json()
    assert status["labels"] == "darkness"
    assert sum(one["kept"] for one in status["classes"].values()) == shown["kept"]
    exported = run("export", ws, "--format", "coco", "--out", tmp_path / "out", "--json").json()
    assert exported["objects"] == shown["kept"]


@pytest.mark.usefixtures("toy")
def test_a_stage_of_one_file_is_part_of_a_pipeline(
    run: Run, tmp_path: Path, detect: dict[str, Any]
) -> None:
    file, ws = tmp_path / "pipeline.yaml", tmp_path / "ws"
    pipeline = {
        "workspace": str(ws),
        "ingest": {"source": str(tmp_path / "photos")},
        "detect": detect,
        "filter": {"min_side": 1},
        "darkness": {"darkest": DARKEST},
        "export": {"format": "coco", "out": str(ws / "export")},
    }
    file.write_text(yaml.safe_dump(pipeline), "utf-8")

    def planned(*options: str) -> dict[str, Any]:
        done = run("run", file, "--dry-run", "--json", *options)
        assert done.status == 0, done.err
        return {step["step"].partition(" ")[0]: step for step in done.json()}

    assert run("init", tmp_path / "mine.yaml").status == 0
    assert "\n#darkness:\n" in (tmp_path / "mine.yaml").read_text("utf-8")
    assert list(planned()) == ["ingest", "detect", "filter", "darkness", "export"]
    assert planned()["darkness"] == {"step": "darkness", "images": 4, "reason": "not done yet"}
    done = run("run", file, "--json")
    assert done.status == 0, done.err
    assert done.json()["steps"]["darkness"]["images_done"] == 4
    assert done.json()["steps"]["darkness"]["source"] == "filter"
    assert {step["reason"] for step in planned().values()} == {"no new photos", "up to date"}
    brighter = planned("--set=darkness.darkest=0.6")
    assert brighter["darkness"]["reason"] == "darkest 0.5, not 0.6"
    assert brighter["export"]["reason"] == "darkness/ changes"
    assert brighter["filter"]["images"] == 0
    wrong = run("run", file, "--set=darkness.darkness=1")
    assert (wrong.status, "'darkest'" in wrong.err) == (2, True)
    assert run("run", file, "--until", "darkness").status == 0


@pytest.mark.usefixtures("toy")
def test_a_stage_of_one_file_is_replayed_and_told_of(
    run: Run, tmp_path: Path, detect: dict[str, Any]
) -> None:
    ws = tmp_path / "ws"
    held_out = make_photos(tmp_path / "held", 6)[4:]
    assert run("detect", tmp_path / "photos", "-w", ws, *as_flags(detect)).status == 0
    assert run("darkness", ws, "--darkest", DARKEST).status == 0
    home = Workspace(ws)
    layer = replay(home, home.require("darkness"), held_out, EngineConfig())
    assert (layer.name, layer.manifest.settings) == ("darkness", {"darkest": DARKEST})
    assert sorted(Path(r.uri).name for r in layer.records()) == [p.name for p in held_out]
    assert_judged(layer, tmp_path / "held")
    told = commands(home, home.require("darkness"))
    assert told[-1] == f"autolabel darkness {ws} --darkest {DARKEST}"
    for command in told:
        assert run(*command.split()[1:]).status == 0
    assert label_layers() == (
        "corrected", "darkness", "relabel", "filter", "refine", "detect",
    )  # fmt: skip


@pytest.mark.parametrize("name", STAGES)
def test_our_stages_say_what_they_are(name: str) -> None:
    says_what_it_is(STAGES[name])


def test_the_stage_of_one_file_keeps_the_contract() -> None:
    check_stage(DARKNESS, DarknessConfig(darkest=DARKEST))


class Forgetful(Darkness):
    def __call__(self, batch):  # type: ignore[no-untyped-def]
        return super().__call__(batch)[1:]


class Reversed(Darkness):
    def __call__(self, batch):  # type: ignore[no-untyped-def]
        return super().__call__(batch)[::-1]


class Neighbours(Darkness):
    def judged(self, record):  # type: ignore[no-untyped-def]
        return super().judged(record)

    def __call__(self, batch):  # type: ignore[no-untyped-def]
        return [replace(r, objects=replace(r.objects, score=r.objects.score / len(batch)))
                for r in super().__call__(batch)]  # fmt: skip


class Scribbler(Darkness):
    def judged(self, record):  # type: ignore[no-untyped-def]
        record.image()[:] = 0
        return super().judged(record)


class Counting(Darkness):
    calls = 0

    def judged(self, record):  # type: ignore[no-untyped-def]
        Counting.calls += 1
        objects = super().judged(record)
        return replace(objects, score=np.full(len(objects), 1 / Counting.calls, np.float32))


@pytest.mark.parametrize(
    ("stage", "wrong"),
    [
        (Forgetful, "images"),
        (Reversed, "order"),
        (Neighbours, "beside it"),
        (Scribbler, "writes to"),
        (Counting, "second time"),
    ],
)
def test_a_faulty_stage_is_caught(stage: type, wrong: str) -> None:
    faulty = replace(DARKNESS, stage=f"{__name__}:{stage.__name__}")
    with pytest.raises(ContractError, match=wrong):
        check_stage(faulty, DarknessConfig(darkest=DARKEST))


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"name": "Dark Ness"}, "name"),
        ({"models": {"modle": "detector"}}, "modle"),
        ({"models": {"darkest": "detector"}}, "HOW"),
        ({"reads": ()}, "reads"),
        ({"stage": "toys:Nothing"}, "Nothing"),
    ],
)
def test_a_faulty_row_is_caught(change: dict[str, Any], wrong: str) -> None:
    row: StageEntry = replace(DARKNESS, **change)
    with pytest.raises(ContractError, match=wrong):
        check_stage(row, DarknessConfig(darkest=DARKEST))
