"""Whether a student has looked at the pool, is still the same one, and is asked for it."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from autolabel.config import EngineConfig
from autolabel.errors import AutolabelError
from autolabel.review import student as students
from autolabel.review.student import ask_student, student_view
from autolabel.store import STUDENT, Workspace
from tests.review.labelled import one, workspace, write


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return workspace(tmp_path, [one("cat", 0.9)] * 3)


def train(home: Workspace, name: str, *, at: int, threshold: float | None = 0.4) -> str:
    """A student whose training is complete; returns its revision."""
    folder = home.path / "train" / name
    folder.mkdir(parents=True, exist_ok=True)
    run: dict[str, Any] = {"state": "complete"}
    if threshold is not None:
        run["threshold"] = {"score": threshold}
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "best.pt").write_bytes(name.encode())
    os.utime(folder / "best.pt", (at, at))
    return f"sha256:{hashlib.sha256(name.encode()).hexdigest()}"


def looked(home: Workspace, name: str, revision: str) -> None:
    found = [one("cat", 0.9)] * 3
    model = {"name": name, "revision": revision}
    write(home, home.layer("images"), f"{STUDENT}/{name}", {}, found, model)


def test_without_a_student_there_is_no_view(home: Workspace) -> None:
    assert student_view(home) is None
    assert ask_student(home, home.layer("detect"), EngineConfig()) is None


def test_the_newest_student_that_looked_counts(home: Workspace) -> None:
    for at, name in enumerate(("b", "a", "c"), 1000):
        revision = train(home, name, at=at, threshold=at / 10_000)
        if name != "c":
            looked(home, name, revision)
    view = student_view(home)
    assert view is not None
    assert (view.layer.name, view.threshold) == ("student/a", 0.1001)
    ids = [record.image_id for record in home.layer("images").read(1)]
    assert list(view.of_shard(1)) == ids
    assert view.of_shard(7) == {}


def test_a_student_without_a_threshold_has_that_of_its_trainer(home: Workspace) -> None:
    looked(home, "a", train(home, "a", at=1000, threshold=None))
    view = student_view(home)
    assert view is not None
    assert view.threshold == 0.25


def test_a_student_that_was_trained_anew_has_not_looked(home: Workspace) -> None:
    train(home, "a", at=1000)
    looked(home, "a", "sha256:of-before")
    assert student_view(home) is None


def test_photos_that_came_later_need_another_look(home: Workspace) -> None:
    looked(home, "a", train(home, "a", at=1000))
    home.layer("student/a").shard_path(1).unlink()
    assert student_view(home) is None


def test_a_student_is_asked_once(home: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    revision = train(home, "a", at=1000)
    asked: list[str] = []

    def predict(home: Workspace, student: Any, ontology: Any, *rest: object) -> None:
        asked.append(f"{student.name} {','.join(ontology.names)}")
        looked(home, "a", revision)

    monkeypatch.setattr(students, "predict", predict)
    said: list[str] = []
    for _ in range(2):
        view = ask_student(home, home.layer("detect"), EngineConfig(), say=said.append)
        assert view is not None
        assert view.layer.name == "student/a"
    assert asked == ["a cat,dog,owl"]
    assert said == ["student a looks at 3 images"]


def test_a_student_is_not_asked_where_that_takes_long_or_fails(
    home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(home, "a", at=1000)

    def predict(*_: object) -> None:
        raise AutolabelError("ultralytics is missing", hint="install it")

    monkeypatch.setattr(students, "predict", predict)
    said: list[str] = []
    layer = home.layer("detect")
    assert ask_student(home, layer, EngineConfig(), say=said.append, most_images=2) is None
    assert ask_student(home, layer, EngineConfig(), say=said.append) is None
    assert said == [
        "student a is not asked: 3 images take long",
        "student a looks at 3 images",
        "student a is not asked: ultralytics is missing",
    ]
