"""`run` and `init`: checks ahead, what would be done and why, stopping early."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from autolabel.corrections.decisions import Decision, Decisions
from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run, make_photos

RunFile = Callable[..., Any]


@pytest.fixture
def file(tmp_path: Path, random_detector: Path) -> Path:
    make_photos(tmp_path / "photos", 5)
    config = {
        "workspace": str(tmp_path / "ws"),
        "ingest": {"source": str(tmp_path / "photos"), "shard_size": 2},
        "detect": {
            "model": str(random_detector), "prompt": ["cat", "dog"], "box_threshold": 0.1,
        },
        "filter": {"min_side": 2},
        "export": [{"format": "coco", "out": str(tmp_path / "ws/export")}],
        "report": {"images": 1, "crops": 1},
    }  # fmt: skip
    path = tmp_path / "pipeline.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


@pytest.fixture
def plan(run: Run, file: Path) -> RunFile:
    """Step -> what `--dry-run` says of it; nothing may be written."""

    def planned(*overrides: str) -> dict[str, Any]:
        before = _listing(file.parent)
        options = [f"--set={text}" for text in overrides]
        done = run("run", file, "--dry-run", "--json", *options)
        assert done.status == 0, done.err
        assert _listing(file.parent) == before
        return {step["step"].partition(" to ")[0]: step for step in done.json()}

    return planned


@pytest.fixture
def carried_out(run: Run, file: Path) -> RunFile:
    """What `run --json` prints of each step."""

    def steps(*overrides: str) -> dict[str, Any]:
        done = run("run", file, "--json", *(f"--set={text}" for text in overrides))
        assert done.status == 0, done.err
        found: dict[str, Any] = done.json()["steps"]
        return found

    return steps


def _listing(folder: Path) -> list[tuple[str, int]]:
    return sorted((str(p), p.stat().st_mtime_ns) for p in folder.rglob("*"))


def worked(steps: dict[str, Any]) -> set[str]:
    """The steps of a run that did something."""
    layers = {n for n in ("ingest", "detect", "filter") if steps[n]["images_done"]}
    exports = {"export"} if not all(one["current"] for one in steps["export"]) else set()
    return layers | exports | (set() if steps["report"]["current"] else {"report"})


def busy(planned: dict[str, Any]) -> set[str]:
    return {name for name, step in planned.items() if step["images"] != 0}


def test_what_is_planned_is_what_is_done(
    plan: RunFile, carried_out: RunFile, tmp_path: Path
) -> None:
    everything = {"ingest", "detect", "filter", "export", "report"}
    planned = plan()
    assert busy(planned) == everything
    assert planned["detect"] == {"step": "detect", "images": 5, "reason": "not done yet"}
    assert worked(carried_out()) == everything

    planned = plan()
    assert busy(planned) == worked(carried_out()) == set()
    assert planned["filter"]["reason"] == "up to date"

    strict = "filter.min_side=40"
    planned = plan(strict)
    assert planned["filter"]["images"] == 5
    assert "min_side 2.0, not 40.0" in planned["filter"]["reason"]
    assert busy(planned) == worked(carried_out(strict)) == {"filter", "export", "report"}

    sure = "detect.box_threshold=0.2"
    planned = plan(strict, sure)
    assert "box_threshold 0.1, not 0.2" in planned["detect"]["reason"]
    assert planned["filter"]["reason"] == "detect/ changes"
    assert busy(planned) == worked(carried_out(strict, sure)) == everything - {"ingest"}

    make_photos(tmp_path / "photos", 8)
    planned = plan(strict, sure)
    assert planned["ingest"] == {"step": "ingest", "images": 3, "reason": "3 new photos"}
    assert planned["detect"]["images"] == 3
    assert busy(planned) == worked(carried_out(strict, sure)) == everything

    bigger = "ingest.min_side=60"
    planned = plan(strict, sure, bigger)
    assert "min_side 0, not 60" in planned["ingest"]["reason"]
    assert planned["detect"]["reason"] == "images/ changes"


def test_what_people_corrected_is_exported_by_the_next_run(
    run: Run, plan: RunFile, carried_out: RunFile, tmp_path: Path
) -> None:
    carried_out()
    instances = tmp_path / "ws/export/annotations/instances_train.json"
    data = json.loads(instances.read_text())
    for at, box in enumerate(([1, 2, 30, 20], [40, 5, 25, 31])):
        data["annotations"][at]["bbox"] = box
        (tmp_path / "mine.json").write_text(json.dumps(data))
        assert run("import", tmp_path / "mine.json", "-w", tmp_path / "ws").status == 0
        planned = plan()
        assert busy(planned) == {"export", "report"}
        assert busy(planned) == worked(carried_out())
        boxes = [one["bbox"] for one in json.loads(instances.read_text())["annotations"]]
        assert box in boxes
        assert busy(plan()) == worked(carried_out()) == set()
    home = Workspace(tmp_path / "ws")
    first = next(home.require("images").records())
    drawn = Decision(
        image_id=first.image_id, action="drawn", via="review", label="cat", xyxy=(5, 6, 50, 60)
    )
    Decisions(home.path).append(drawn)  # and killed before anything was made of it
    planned = plan()
    assert planned["export"]["reason"] == "people have corrected labels since"
    assert busy(planned) == worked(carried_out()) == {"export", "report"}
    named = carried_out("export.0.from=filter")
    assert not named["export"][0]["current"]
    boxes = [one["bbox"] for one in json.loads(instances.read_text())["annotations"]]
    assert [1, 2, 30, 20] not in boxes, "the machine's own labels were asked for"


def test_classes_are_relabelled_by_a_file(
    plan: RunFile, carried_out: RunFile, run: Run, file: Path, tmp_path: Path
) -> None:
    named = ("relabel.rename={cat: feline}", "export.0.drop=dog")
    assert plan(*named)["relabel"]["reason"] == "not done yet"
    steps = carried_out(*named)
    assert steps["relabel"]["images_done"] == 5
    instances = tmp_path / "ws/export/annotations/instances_train.json"
    assert [one["name"] for one in json.loads(instances.read_text())["categories"]] == ["feline"]
    planned = plan(*named)
    assert {planned[step]["images"] for step in ("relabel", "export")} == {0}
    for wrong, said in (
        ("relabel.rename={cta: feline}", "rename names 'cta', which is not a class"),
        ("export.0.drop=cat", "drop names 'cat', which is not a class"),
        ("relabel.rename={}", "relabel is told to change no class"),
    ):
        done = run("run", file, "--dry-run", *(f"--set={text}" for text in (*named, wrong)))
        assert done.status == 2
        assert said in done.err


def test_an_unfinished_layer_is_planned(plan: RunFile, carried_out: RunFile, file: Path) -> None:
    carried_out()
    layer = file.parent / "ws" / "detect"
    (layer / "part-00002.parquet").unlink()
    planned = plan()
    assert planned["detect"]["images"] == 1
    assert "unfinished: 2 of 3 shards" in planned["detect"]["reason"]
    assert "export" in busy(planned)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("ingest.source={t}/photoz", "photos"),
        ("ingest.holdout={t}/no", "no"),
        ("detect.prompt=", "prompt"),
        ("detect.model=no-such-model", "no-such-model"),
        ("detect.model={sample}/models/segmenter", "not a detector"),
        ("refine.model={sample}/models/detector", "not a segmenter"),
        ("filter.clip={sample}/models/dinov2", "not a image-text"),
        ("filter.rules=min_sides", "min_side"),
        ("filter.class_min_score.cow=0.3", "cow"),
        ("export.0.out={t}/pipeline.yaml", "not a folder"),
        ("export.0.out={t}/pipeline.yaml/in", "pipeline.yaml"),
        ("train.student=yolo99n.yaml", "yolo99n"),
        ("evaluate.truth={t}/nobody", "nobody"),
        ("report.out={t}", "folder"),
        ("workspace={t}/pipeline.yaml/ws", "cannot be written"),
    ],
)
def test_what_stops_a_run_stops_it_before_the_first_photo(
    run: Run, file: Path, override: str, told: str
) -> None:
    text = override.format(t=file.parent, sample=SAMPLE)
    before = _listing(file.parent)
    for extra in ([], ["--dry-run"]):
        done = run("run", file, "--set", text, *extra)
        assert done.status in (1, 2), done.err
        assert told in done.err
        assert done.err.count("error: ") == done.err.count("hint: ") == 1
        assert _listing(file.parent) == before


def test_two_exports_to_one_folder_are_refused(run: Run, file: Path) -> None:
    config = yaml.safe_load(file.read_text("utf-8"))
    config["export"].append({**config["export"][0], "out": f"{file.parent}/ws/../ws/export"})
    file.write_text(yaml.safe_dump(config), "utf-8")
    done = run("run", file)
    assert done.status == 2
    assert "two exports" in done.err


def test_a_model_that_is_to_be_fetched_is_planned_not_fetched(run: Run, file: Path) -> None:
    done = run("run", file, "--dry-run", "--set", "detect.model=owlv2-base")
    assert done.status == 0, done.err
    assert "owlv2-base is to be fetched first" in " ".join(done.out.replace("│", " ").split())


def test_until_stops_after_that_step(run: Run, file: Path) -> None:
    done = run("run", file, "--until", "detect", "--json")
    assert list(done.json()["steps"]) == ["ingest", "detect"]
    workspace = file.parent / "ws"
    assert (workspace / "detect/manifest.json").is_file()
    assert not (workspace / "filter").exists()
    done = run("run", file, "--until", "trian")
    assert done.status == 2
    assert "ingest, detect, filter, export, report" in done.err


def test_another_workspace_leaves_the_first_alone(run: Run, file: Path, tmp_path: Path) -> None:
    assert run("run", file).status == 0
    before = _listing(tmp_path / "ws")
    assert run("run", file, f"--set=workspace={tmp_path / 'other'}").status == 0
    assert _listing(tmp_path / "ws") == before
    marker = json.loads((tmp_path / "other/export/.autolabel-export.json").read_text("utf-8"))
    assert marker["splits"] == {"train": 5}


def test_init_writes_a_file_that_runs(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, random_detector: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("init").status == 0
    text = Path("pipeline.yaml").read_text("utf-8")
    done = run("init")
    assert done.status == 2
    assert "is there already" in done.err
    assert Path("pipeline.yaml").read_text("utf-8") == text
    assert run("init", "no/such/folder.yaml").status == 1

    make_photos(tmp_path / "photos", 3)
    done = run("run", "pipeline.yaml", "--until", "filter", "--set", "refine=",
               "--set", f"detect.model={random_detector}", "--json")  # fmt: skip
    assert done.status == 0, done.err
    assert done.json()["steps"]["filter"]["images"] == 3
