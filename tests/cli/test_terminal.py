"""What people see in a terminal while a pipeline runs, and in a pipe."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from autolabel.cli import screen
from autolabel.engine.base import Progress
from tests.conftest import SAMPLE, Run
from tests.terminal import COLUMNS, python_in_terminal

CELLS = SAMPLE / "blood_cells"


def pipeline_file(home: Path) -> Path:
    """Two photos of the sample's pool, and two held-out ones to measure on."""
    for folder in ("pool", "truth"):
        (home / folder).mkdir()
    for photo in sorted((CELLS / "unlabeled").iterdir())[:2]:
        shutil.copy(photo, home / "pool")
    truth = json.loads((CELLS / "validation/annotations.json").read_text("utf-8"))
    truth["images"] = truth["images"][:2]
    known = {image["id"] for image in truth["images"]}
    truth["annotations"] = [a for a in truth["annotations"] if a["image_id"] in known]
    (home / "truth/annotations.json").write_text(json.dumps(truth), "utf-8")
    for image in truth["images"]:
        shutil.copy(CELLS / "validation" / image["file_name"], home / "truth")
    config = {
        "workspace": str(home / "ws"),
        "engine": {"device": "cpu"},
        "ingest": {"source": str(home / "pool"), "holdout": str(home / "truth")},
        "detect": {
            "model": str(SAMPLE / "models/detector"),
            "prompt": ["red blood cell", "white blood cell", "platelet"],
        },
        "filter": {"min_side": 20},
        "evaluate": {"truth": str(home / "truth"), "bootstrap": 20},
    }
    path = home / "p.yaml"
    path.write_text(yaml.safe_dump(config), "utf-8")
    return path


# As many stages as the demo has, with words as long, and tables that a screen does not hold.
STAGES = """
from rich.table import Table
from autolabel.cli import show
names = ["ingest", "detect", "refine", "embed/clip", "embed/dinov2", "filter", "train"]
with show.Reporter() as report:
    for name in [*names, *names[1:], "student/pico"]:
        progress = report(name, 72)
        for progress.images in (10, 72):
            progress.objects, progress.note = 1419, "AP50 0.894 on 17 auto-labelled images"
            progress.changed(progress)
            show.message(f"{name}: " + "what a line of a pipeline has to say, which is much " * 2)
    table = Table("number", "figure", box=None)
    for i in range(60):
        table.add_row(f"row {i}", "0.5")
    show.table(table)
    for i in range(8):
        show.message(f"sentence {i}")
"""


@pytest.mark.parametrize("rows", [24, 40])
def test_no_bar_is_drawn_over_a_table(rows: int) -> None:
    status, shown = python_in_terminal("-c", STAGES, rows=rows)
    assert status == 0
    table = [line.split() for line in shown].index(["number", "figure"])
    assert [line.split() for line in shown[table + 1 : table + 61]] == [
        ["row", str(i), "0.5"] for i in range(60)
    ]
    after = [line for line in shown[table + 61 :] if line]
    assert after == [f"sentence {i}" for i in range(8)]
    # what each stage ended with, once
    ends = [line.split()[0] for line in shown if " 72/72 " in line]
    assert len(ends) == 14
    assert ends[0] == "ingest"
    assert ends[-1] == "student/pico"


def test_a_terminal_that_moves_nothing_gets_lines() -> None:
    _, shown = python_in_terminal("-c", STAGES, rows=24, kind="dumb")
    assert sum(line.startswith("detect: 72/72 images") for line in shown) == 2


@pytest.mark.slow
def test_every_line_of_a_pipelines_tables_stays(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = pipeline_file(tmp_path)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    for rows in (24, 40):
        place = f"workspace={tmp_path}/{rows}"
        status, shown = python_in_terminal(
            "-m", "autolabel", "run", file, "--set", place, rows=rows
        )
        assert status == 0
        piped = run("run", file, "--set", place)  # all is done; the tables come again
        tables = [line.rstrip() for line in piped.out.splitlines()]
        assert len(tables) > 24, "the case shows nothing"
        start = shown.index(tables[0])
        assert shown[start : start + len(tables)] == tables
        bars = [line.split()[0] for line in shown if "━" in line]
        assert [b for b in bars if b in ("detect", "filter")] == ["detect", "filter"] * 2


def test_a_finished_bar_keeps_its_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    console = screen.Console(force_terminal=True, width=COLUMNS, stderr=True, quiet=True)
    monkeypatch.setattr(screen, "err", console)
    monkeypatch.setattr(console, "get_time", lambda: now[0])
    with screen.Reporter() as report:
        progress = report("detect", 10)
        now[0] = 5.0
        progress.images = 10
        progress.changed(progress)
        now[0] = 500.0
        (bar,) = screen._live
        assert "2.0 images/s" in str(screen._Rate().render(bar.tasks[0]))
        # the next stage has a bar of its own
        report("refine", 10)
        assert [b.tasks[0].description for b in screen._live] == ["refine"]
        assert not bar.live.is_started
    assert not screen._live


def test_what_an_earlier_run_finished_is_not_in_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    console = screen.Console(force_terminal=True, width=COLUMNS, stderr=True, quiet=True)
    monkeypatch.setattr(screen, "err", console)
    monkeypatch.setattr(console, "get_time", lambda: now[0])
    with screen.Reporter() as report:
        progress = report("detect", 10)
        now[0] = 2.0
        progress.images, progress.resumed = 10, 6
        progress.changed(progress)
        (bar,) = screen._live
        assert "2.0 images/s" in str(screen._Rate().render(bar.tasks[0]))


def test_in_a_pipe_no_line_comes_twice(capsys: pytest.CaptureFixture[str]) -> None:
    with screen.Reporter() as report:
        progress: Progress = report("detect", 72)
        for _ in range(3):  # shards without an image for the stage are written first
            progress.shards += 1
            progress.changed(progress)
        for _ in range(3):
            progress.images = 72
            progress.changed(progress)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "detect: 72 images to do",
        "detect: 72/72 images",
    ]
