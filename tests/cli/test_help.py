"""Help and completion: an example on every command, options in groups, names on Tab."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from autolabel.cli.commands import app
from autolabel.config import EngineConfig, FilterConfig
from autolabel.datasets.formats import written
from tests.conftest import Run, make_photos

ROOT: Any = typer.main.get_command(app)


def every_command(command: Any = ROOT, name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield name
    for part, below in getattr(command, "commands", {}).items():
        yield from every_command(below, (*name, part))


@pytest.mark.parametrize("name", list(every_command()), ids=lambda n: " ".join(n) or "autolabel")
def test_every_command_has_an_example_that_it_takes(
    run: Run, name: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    example = re.search(r"Example: autolabel (.+)", run(*name, "--help").out)
    assert example, "no example in the help"
    words = shlex.split(example.group(1))
    assert tuple(words[: len(name)]) == name
    context = ROOT.make_context("autolabel", list(words))
    while words := [*context._protected_args, *context.args]:
        _, command, words = context.command.resolve_command(context, words)
        context = command.make_context(command.name, words, parent=context)


def test_options_of_the_filter_stand_in_groups(run: Run) -> None:
    groups: dict[str, str] = {}
    for line in run("filter", "--help").out.splitlines():
        if title := re.match(r"╭─ (.+?) ─+╮", line):
            groups[title.group(1)] = ""
        elif groups:
            groups[[*groups][-1]] += line
    assert [*groups][-7:] == [
        "Rules and scores", "Geometry", "CLIP", "DINOv2", "Overlap and repeats", "Rules of plugins",
        "How it runs",
    ]  # fmt: skip
    for group, flag in (
        ("Rules and scores", "--min-score"), ("Geometry", "--border"), ("CLIP", "--clip-margin"),
        ("DINOv2", "--probe-kind"), ("Overlap and repeats", "--inside"),
        ("Rules of plugins", "--plugin-rule"), ("Options", "--dry-run"),
    ):  # fmt: skip
        assert flag in groups[group]
    assert set(FilterConfig.PANELS) <= set(FilterConfig.model_fields)


@pytest.mark.parametrize(
    ("given", "means"),
    [(0, "cuda:0"), ("1", "cuda:1"), (-1, "-1"), ("-1", "-1"), ("cpu", "cpu"), ("cuda", "cuda")],
)
def test_a_device_may_be_a_number_as_in_yolo(given: object, means: str) -> None:
    assert EngineConfig.model_validate({"device": given}).device == means


def test_device_0_without_cuda_says_what_there_is(
    run: Run, tmp_path: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    make_photos(tmp_path / "photos", 1)
    for device in ("0", "-1"):
        done = run(
            "detect", tmp_path / "photos", "-w", tmp_path / "ws", "--prompt", "cat",
            "--model", random_detector, "--device", device,
        )  # fmt: skip
        assert done.status == 1
        assert "is not there: torch" in done.err
        assert "cpu" in done.err
        assert "--device auto" in done.err


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """The files that completion looks at."""
    for layer in ("images", "detect", ".detect.next", "embed/clip"):
        (tmp_path / layer).mkdir(parents=True)
        (tmp_path / layer / "manifest.json").touch()
    (tmp_path / "train/pico").mkdir(parents=True)
    (tmp_path / "train/pico/run.json").touch()
    (tmp_path / "ontology.yaml").write_text("classes: {red cell: cell, platelet: x}", "utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("export WS --format ", list(written())),
        ("export WS --link h", ["hardlink"]),
        ("detect WS --model grounding", ["grounding-dino-tiny", "grounding-dino-base"]),
        ("refine WS --model sam-vit-b", ["sam-vit-base"]),
        ("filter WS --clip clip-vit-base-patch3", ["clip-vit-base-patch32"]),
        ("filter WS --dinov2 dinov2-b", ["dinov2-base"]),
        ("models pull grounding-dino-t", ["grounding-dino-tiny"]),
        ("export WS --from ", ["detect", "images", "embed/clip"]),
        ("preview WS --layer d", ["detect"]),
        ("detect WS --prompt cat --from im", ["images"]),
        ("detect x.jpg -w WS --class-threshold ", ["red cell=", "platelet="]),
        ("preview WS --class p", ["platelet"]),
        ("filter WS --class-min-score r", ["red cell="]),
        ("evaluate WS --student ", ["pico"]),
        ("relabel WS --drop p", ["platelet"]),
        ("export WS --rename r", ["red cell="]),
        ("preview nowhere --class p", []),
        ("rep", ["report"]),
    ],
)
def test_tab_offers_names(
    run: Run, workspace: Path, words: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    line = f"autolabel {words}".replace("WS", str(workspace))
    monkeypatch.setenv("_AUTOLABEL_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(line.count(" ")))
    assert [name for name in run().out.splitlines() if name] == offered
