from __future__ import annotations

import json
from pathlib import Path

import pytest

from autolabel.store import Workspace
from autolabel.types import Objects
from tests.report import made
from tests.report.pages import report


def test_without_evaluation_nothing_is_known(tmp_path: Path) -> None:
    page = report(made.workspace(tmp_path))
    assert "Nothing is known about whether these 3 labels are right" in page.text
    assert "no small detector is trained yet" in page.text
    assert "No label of “dog” is kept: all 3 found were rejected." in page.text
    assert "No label of “bird” is kept: none was found." in page.text
    assert "AP50, labels" not in page.text
    assert len(page.pictures) == 3 + 3 + 3  # photos, kept, rejected


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (Objects.empty(), "No label was kept on 3 photos: the models found nothing."),
        (made.labels(made.CLASSES)[1:], "No label was kept on 3 photos: all 3 were rejected."),
    ],
)
def test_zero_kept_labels(tmp_path: Path, found: Objects, said: str) -> None:
    page = report(made.workspace(tmp_path, found=found))
    assert said in page.text
    assert "There are no labels to judge" in page.text
    assert "No label is kept." in page.text


def test_one_image_without_masks(tmp_path: Path) -> None:
    found = made.labels(made.CLASSES, masks=False)
    home = made.workspace(tmp_path, photos=1, found=found)
    made.trained(home, "tiny", epochs=1)
    page = report(home)
    assert "1 photo was read" in page.text
    assert "A small detector (tiny) was trained, but nothing is known" in page.text


def test_truth_without_a_class(tmp_path: Path) -> None:
    home = made.workspace(tmp_path)
    truth = made.truth(tmp_path, known=1)
    result = made.measured(home, truth, classes=("cat",))
    result["classes_without_truth"] = ["dog", "bird"]
    result["rows"][0]["classes"]["cat"] |= {"truth": 3, "recall": 0.2}
    result["rows"][0]["intervals"]["ap50"] = [0.2, 0.9]
    result["unmatched_reasons"] = {"gone.png": "not in the layer"}
    made.write_result(home, result)
    page = report(home)
    assert "Nothing is known about “dog”: the hand labels do not have this class." in page.text
    assert "“cat” is measured on 3 hand-labelled objects only." in page.text
    assert "“cat” is weak: of 100 people marked, about 20 are found." in page.text
    assert "anything from 0.20 to 0.90" in page.text
    assert "1 photo with hand labels could not be compared: not in the layer." in page.text


def test_a_hand_label_baseline(full: Workspace) -> None:
    result = json.loads((full.path / "evaluate/result.json").read_text())["result"]
    share = {"ap50": {"value": 0.97, "interval": [0.94, 1.01]}, "ap": None}
    reference = {"of": "tiny", "minus": "tiny on hand labels", "images": 3, "share": share}
    made.write_result(full, {**result, "reference": reference, "notes": ["a <note>"]})
    page = report(full)
    assert "97 % 94 % to 101 %" in page.text
    assert "97 % of what hand labels give 95 %: 94 to 101 %" in page.text
    assert "a <note>" in page.text
    result["rows"][1] |= {"ap50": 0.01}
    made.write_result(full, {**result, "reference": {**reference, "share": {"ap50": None}}})
    page = report(full)
    assert "No share can be given" in page.text
    assert "The small detector has learned next to nothing (AP50 0.01): do not use it." in page.text
