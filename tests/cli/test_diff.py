"""`autolabel diff`: JSON on standard output, messages beside it, pictures in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from autolabel.corrections.decisions import Decision, Decisions
from autolabel.store import Workspace
from tests.conftest import Run
from tests.review.labelled import one, several, workspace

LABELS = several(one("cat", 0.9), one("dog", 0.7, 60))


@pytest.fixture
def home(tmp_path: Path) -> Workspace:
    return workspace(tmp_path, [LABELS, LABELS])


def delete(home: Workspace) -> None:
    image = home.layer("detect").read(0)[0].image_id
    box = (10.0, 10.0, 30.0, 30.0)
    Decisions(home.path).append(
        Decision(image_id=image, action="deleted", via="review", label="cat", xyxy=box)
    )


def test_what_people_said_is_the_difference_to_corrected(
    run: Run, home: Workspace, tmp_path: Path
) -> None:
    delete(home)
    out = tmp_path / "pictures"
    command = ["diff", str(home.path), "--a", "detect", "--b", "corrected", "--out", str(out)]
    done = run(*command, "--json")
    assert done.status == 0, done.err
    found = json.loads(done.out)
    assert found["totals"] == {"same": 3, "moved": 0, "relabelled": 0, "added": 0, "removed": 1}
    assert found["changes"][0]["removed"] == [{"label": "cat", "xyxy": [10, 10, 30, 30]}]
    assert [path.name for path in sorted(out.glob("*.png"))] == found["pictures"]
    assert len(found["pictures"]) == 1
    shown = run(*command)
    assert shown.status == 0
    assert shown.out.split("\n")[0].split() == [
        "class", "same", "moved", "relabelled", "added", "removed",
    ]  # fmt: skip
    assert "0000.png" in shown.out
    assert "diff: 1 of 2 images differ from detect to corrected" in shown.err


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ("filter", "detect", "'filter' is not a layer with labels"),
        ("detect", "nowhere", "'nowhere' is neither a layer with labels nor a file or folder"),
    ],
)
def test_what_is_not_there_is_named(
    run: Run, home: Workspace, a: str, b: str, message: str
) -> None:
    done = run("diff", home.path, "--a", a, "--b", b)
    assert done.status == 1
    assert message in done.err
    assert "the layers are: scan, images, detect" in done.err


def test_our_own_export_is_compared_too(run: Run, home: Workspace, tmp_path: Path) -> None:
    out = str(tmp_path / "coco")
    exported = run("export", home.path, "--format", "coco", "--out", out)
    assert exported.status == 0, exported.err
    delete(home)
    command = ["diff", str(home.path), "--a", "corrected", "--b", out, "--json"]
    done = run(*command)
    assert done.status == 0, done.err
    totals = json.loads(done.out)["totals"]
    assert totals == {"same": 3, "moved": 0, "relabelled": 0, "added": 1, "removed": 0}
