from __future__ import annotations

import numpy as np
import pytest
import yaml
from hypothesis import given

from autolabel.datasets.yolo import data_yaml, from_data_yaml, from_yolo_label, to_yolo_label
from autolabel.errors import AutolabelError
from autolabel.types import Objects, Record
from tests.datasets.test_coco_json import NAMES, records


@given(records())
def test_boxes_survive_within_a_millionth_of_the_image(record: Record) -> None:
    size = record.width, record.height
    back = from_yolo_label(to_yolo_label(record.objects, NAMES, *size), NAMES, *size)
    assert back.label.tolist() == record.objects.label.tolist()
    np.testing.assert_allclose(
        back.xyxy / [*size, *size], record.objects.xyxy / [*size, *size], atol=1e-6
    )


def test_rejected_objects_are_left_out_and_nothing_is_an_empty_file() -> None:
    objects = Objects.create(["cat", "dog"], [1, 1], [[0, 0, 2, 2]] * 2, keep=[False, True])
    assert to_yolo_label(objects, NAMES, 4, 4).startswith("1 0.25")
    assert to_yolo_label(Objects.empty(), NAMES, 4, 4) == ""


def test_an_unknown_label_is_a_bug() -> None:
    with pytest.raises(ValueError, match="cow"):
        to_yolo_label(Objects.create(["cow"], [1], [[0, 0, 1, 1]]), NAMES, 4, 4)


@pytest.mark.parametrize(
    ("line", "box", "score"),
    [
        ("1 0.5 0.5 1 1", [0, 0, 100, 50], 1),
        ("\ufeff1 .5 .5 1 1\r\n\r\n", [0, 0, 100, 50], 1),
        ("1.0 0.5 0.5 1 1", [0, 0, 100, 50], 1),
        ("1 0.5 0.5 1 1 0.25", [0, 0, 100, 50], 0.25),
        ("1 0.1 0.2 0.3 0.2 0.3 0.6", [10, 10, 30, 30], 1),
        ("1 0.1 0.2 0.3 0.2 0.3 0.6 0.1 0.6", [10, 10, 30, 30], 1),
    ],
)
def test_boxes_scores_and_polygons_are_read(line: str, box: list[float], score: float) -> None:
    objects = from_yolo_label(line, NAMES, 100, 50)
    assert objects.label.tolist() == ["dog"]
    np.testing.assert_allclose(objects.xyxy, [box], atol=1e-4)
    assert objects.score.tolist() == [score]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("3 0.5 0.5 1 1", "class 3"),
        ("-1 0.5 0.5 1 1", "class -1"),
        ("0.5 0.5 0.5 1 1", "class 0.5"),
        ("nan 0.5 0.5 1 1", "class nan"),
        ("cat 0.5 0.5 1 1", "not a number"),
        ("0 0.5 0.5", "3 values"),
        ("0 .1 .1 .1 .1 .1 .1 .1", "8 values"),
        ("0 320 240 10 10", "between 0 and 1"),
        ("0 nan 0.5 1 1", "between 0 and 1"),
        ("0 0.5 0.5 1 1 7", "between 0 and 1"),
    ],
)
def test_an_error_names_the_line(line: str, message: str) -> None:
    with pytest.raises(AutolabelError, match=f"line 2: .*{message}"):
        from_yolo_label(f"0 0.5 0.5 1 1\n{line}\n", NAMES, 100, 50)


@pytest.mark.parametrize("val", [True, False])
def test_data_yaml_survives(val: bool) -> None:
    names = ("yes", "123", "a: b", "чашка", "don't", "#1")
    text = data_yaml(names, val=val)
    back = from_data_yaml(text)
    assert (back.names, back.path) == (names, None)
    assert back.splits["train"] == ("images/train",)
    assert back.splits["val"] == ("images/val" if val else "images/train",)
    assert list(yaml.safe_load(text)["names"]) == list(range(len(names)))
    assert ("no val split" in text) is not val


@pytest.mark.parametrize("names", ["[cat, dog]", "{0: cat, 1: dog}", "{'1': dog, '0': cat}"])
def test_names_are_a_list_or_a_mapping(names: str) -> None:
    assert from_data_yaml(f"names: {names}\nval: [a, b]").names == ("cat", "dog")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("names: {0: cat, 2: dog}", "gaps"),
        ("names: {a: cat}", "gaps"),
        ("nc: 2", "no names"),
        ("just text", "no keys"),
        ("a: [", "YAML"),
        ("!!python/object/apply:os.system ['true']", "YAML"),
    ],
)
def test_a_wrong_data_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(AutolabelError, match=message):
        from_data_yaml(text)
