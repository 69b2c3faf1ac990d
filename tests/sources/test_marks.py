"""Notes of what autolabel wrote, whoever may have written the notes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autolabel.sources import find_images
from autolabel.sources.marks import EXPORT, JOURNAL, PREVIEW, STAGING
from tests.conftest import make_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Two photos, and one of the same in each of two folders."""
    for folder in (".", "images/train", "other"):
        make_photos(tmp_path / folder, 2 if folder == "." else 1)
    return tmp_path


def found(folder: Path) -> tuple[list[str], int]:
    seen = find_images([str(folder)], leave_ours=True)
    return [path.relative_to(folder).as_posix() for path in seen.paths], seen.ours


@pytest.mark.parametrize("note", [EXPORT, PREVIEW, f"{STAGING}/{JOURNAL}"])
def test_what_a_note_names_is_left_alone(photos: Path, note: str) -> None:
    content: Any = {"files": ["images/train/0000.png", "labels/train/0000.txt"]}
    (photos / note).parent.mkdir(exist_ok=True)
    (photos / note).write_text(json.dumps({"marker": content} if STAGING in note else content))
    assert found(photos) == (["0000.png", "0001.png", "other/0000.png"], 1)
    assert len(find_images([str(photos)]).paths) == 4  # for hold-outs every photo counts
    inside = str(photos / "images")
    assert len(find_images([inside], leave_ours=True).paths) == 1  # it is named


@pytest.mark.parametrize(
    "text",
    ["", "[]", "3", "{}", '{"files": 3}', '{"files": [3, null]}', '{"marker": 1}', "[" * 9999],
)
def test_a_note_of_no_use_hides_nothing_and_stops_nothing(photos: Path, text: str) -> None:
    for note in (EXPORT, PREVIEW, f"{STAGING}/{JOURNAL}"):
        (photos / note).parent.mkdir(exist_ok=True)
        (photos / note).write_text(text)
    assert found(photos) == (["0000.png", "0001.png", "images/train/0000.png", "other/0000.png"], 0)


def test_a_note_reaches_no_file_elsewhere(photos: Path) -> None:
    (photos / "other" / EXPORT).write_text(json.dumps({"files": ["../0000.png", "/etc/passwd"]}))
    assert found(photos)[1] == 0
