"""Nothing found at all, or nothing of a class: how near it came, and what to try."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from autolabel import registry
from autolabel.stages import unseen
from autolabel.store import Workspace
from autolabel.types import Objects
from tests.conftest import Finished, Run, make_photos

PHOTOS = 5


class Unsure:
    """A detector whose scores are half of another's: random weights are too sure of themselves."""

    def __init__(self, detector: Any) -> None:
        self.detector = detector

    def detect(self, images: Any, ontology: Any, min_score: float) -> list[Objects]:
        found = self.detector.detect(images, ontology, min(2 * min_score, 1.0))
        halved = (replace(o, score=o.score / 2) for o in found)
        return [o[o.score >= min_score] for o in halved]


@pytest.fixture
def detect(  # type: ignore[no-untyped-def]
    run: Run, tmp_path: Path, random_detector: Path, monkeypatch: pytest.MonkeyPatch
):
    make_photos(tmp_path / "photos", PHOTOS)
    load = registry.load
    monkeypatch.setattr(registry, "load", lambda *a: Unsure(load(*a)))

    def command(*options: object) -> Finished:
        done = run(
            "detect", tmp_path / "photos", "-w", tmp_path / "ws", "--model", random_detector,
            "--prompt", "cat", "--prompt", "dog", "--overwrite", *options,
        )  # fmt: skip
        assert done.status == 0, done.err
        return done

    return command


def highest(workspace: Path) -> dict[str, float]:
    best: dict[str, float] = {}
    for record in Workspace(workspace).require("detect").records():
        for label, score in zip(record.objects.label, record.objects.score, strict=True):
            best[label] = max(best.get(label, 0.0), float(score))
    return best


def test_nothing_at_all(detect, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert "warning" not in detect("--box-threshold", "0").err
    scores = highest(tmp_path / "ws")
    done = detect("--box-threshold", "0.6", "--json")
    assert f"warning: nothing at all was found in {PHOTOS} images" in done.err
    told = done.json()["detect"]["unseen"]
    assert told == pytest.approx(scores, abs=1e-5)
    for name, score in scores.items():
        line = f"  {name}: the highest score in them is {int(score * 100) / 100:.2f}, the threshold"
        assert line in done.err
    tried = re.search(r"hint: try --box-threshold ([\d.]+) --overwrite", done.err)
    assert tried, done.err
    # what the hint says helps
    again = detect("--box-threshold", tried.group(1), "--json")
    assert again.json()["detect"]["kept"] > 0
    assert again.json()["detect"]["unseen"] == {}


def test_nothing_of_one_class(detect) -> None:  # type: ignore[no-untyped-def]
    done = detect("--box-threshold", "0.1", "--class-threshold", "dog=0.6")
    assert f"warning: no dog was found in {PHOTOS} images" in done.err
    assert "  cat: " not in done.err
    tried = re.search(r'hint: try --class-threshold "(dog=[\d.]+)" --overwrite', done.err)
    assert tried, done.err
    again = detect("--box-threshold", "0.1", "--class-threshold", tried.group(1), "--json")
    assert again.json()["detect"]["classes"]["dog"]["kept"] > 0
    assert "warning" not in again.err


def test_scores_of_anything_are_answered_by_other_words(  # type: ignore[no-untyped-def]
    detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("autolabel.cli.show_unseen.LOW_SCORE", 1.0)
    assert "hint: check the spelling of the prompts" in detect("--box-threshold", "0.6").err


def test_a_dear_model_is_asked_for_one_image(  # type: ignore[no-untyped-def]
    detect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unseen, "MOST_SECONDS", -1.0)
    assert "the highest score in 1 of them is" in detect("--box-threshold", "0.6").err


def test_a_filter_that_leaves_nothing_says_so(  # type: ignore[no-untyped-def]
    detect, run: Run, tmp_path: Path
) -> None:
    detect("--box-threshold", "0.1")
    done = run("filter", tmp_path / "ws", "--min-side", "100000")
    assert done.status == 0
    assert "warning: every label was rejected" in done.err
    assert "--dry-run" in done.err
