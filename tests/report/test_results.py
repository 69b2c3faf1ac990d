from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.report import made
from tests.report.pages import report


@pytest.mark.parametrize("content", ["{", '{"result": {"layer": "detect", "ap": 0.5}}', "[]", "7"])
def test_files_that_are_damaged(tmp_path: Path, content: str) -> None:
    home = made.workspace(tmp_path)
    (home.path / "evaluate").mkdir()
    (home.path / "evaluate/result.json").write_text(content)
    made.trained(home, "good").joinpath("metrics.csv").write_text("epoch,ap50\n1,0.5\n2,0.")
    made.trained(home, "cut").joinpath("run.json").write_text('{"stu')
    page = report(home)
    assert "result.json is damaged or was written by another version; it is not shown." in page.text
    assert "train/cut/ is damaged and left out" in page.text
    assert "Nothing is known about whether these 3 labels are right" in page.text


@pytest.mark.parametrize("value", [7, "text", [1], {"a": [None]}, None, True, -1e308])
def test_a_run_of_values_that_none_writes(tmp_path: Path, value: Any) -> None:
    home = made.workspace(tmp_path)
    keys = ("settings", "skipped", "threshold", "resumed_from", "seconds", "layer", "student")
    made.trained(home, "tiny", **dict.fromkeys(keys, value))
    made.trained(home, "other", settings={"holdout": value}, threshold={"score": value})
    page = report(home)
    assert "tiny" in page.text
    assert "other" in page.text


@pytest.mark.parametrize("name", ["evaluate/result.json", "train/tiny/run.json",
                                  "train/tiny/metrics.csv", "pipeline.yaml"])  # fmt: skip
def test_files_of_a_terabyte(tmp_path: Path, name: str) -> None:
    home = made.workspace(tmp_path)
    made.trained(home, "tiny")
    made.trained(home, "good")
    (home.path / "evaluate").mkdir()
    with (home.path / name).open("w") as file:
        file.truncate(2**40)
    page = report(home)
    assert "on the part of the labels set aside" in page.text.lower()  # the good one's
