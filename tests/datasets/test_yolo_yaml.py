from __future__ import annotations

import pytest
import yaml

from autolabel.datasets.yolo_yaml import data_yaml, from_data_yaml
from autolabel.errors import AutolabelError


@pytest.mark.parametrize("splits", [["train"], ["train", "val"], ["train", "val", "test"]])
def test_data_yaml_survives(splits: list[str]) -> None:
    names = ("yes", "123", "a: b", "чашка", "don't", "#1")
    text = data_yaml(names, splits)
    back = from_data_yaml(text)
    assert (back.names, back.path) == (names, None)
    assert back.splits["train"] == ("images/train",)
    assert back.splits["val"] == ("images/val" if "val" in splits else "images/train",)
    assert back.splits.get("test") == (("images/test",) if "test" in splits else None)
    assert list(yaml.safe_load(text)["names"]) == list(range(len(names)))
    assert ("no val split" in text) is ("val" not in splits)


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
