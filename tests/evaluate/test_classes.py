"""Which class of the hand labels is which class of the workspace."""

from __future__ import annotations

import pytest

from autolabel.errors import AutolabelError
from autolabel.evaluate.classes import map_classes
from autolabel.ontology import Ontology
from tests.measuring import ONTOLOGY, config, evaluate, image, objects, record, true, truth_of

BOX, AWAY = [10, 10, 20, 20], [50, 50, 60, 60]
CAT = ("cat", 0.9, BOX)


def test_classes_are_mapped_by_name_then_whatever_the_case() -> None:
    labels = true(("CAT", BOX), ("hound", AWAY))
    truth = truth_of(image("a.jpg", labels), names=("CAT", "hound", "unused"))
    found = objects(CAT, ("dog", 0.5, AWAY))
    result = evaluate([record("a.jpg", found)], truth, ONTOLOGY, config(class_map={"hound": "dog"}))
    assert {n: c.f1 for n, c in result.row.classes.items()} == {"cat": 1, "dog": 1}


@pytest.mark.parametrize(("label", "near"), [("dogs", "dog"), ("catz", "cat")])
def test_an_unknown_class_says_what_to_type(label: str, near: str) -> None:
    truth = truth_of(image("a.jpg", true((label, BOX))), names=(label,))
    with pytest.raises(AutolabelError, match=f"{label!r}") as e:
        evaluate([record("a.jpg")], truth, ONTOLOGY, config())
    assert f'--class-map "{label}={near}"' in e.value.hint
    left_out = evaluate([record("a.jpg")], truth, ONTOLOGY, config(class_map={label: ""}))
    assert left_out.row.classes == {}
    assert left_out.row.f1 is None


@pytest.mark.parametrize(
    ("class_map", "message"),
    [({"cow": "cat"}, "'cow', which"), ({"cat": "cut"}, "to 'cut', which")],
)
def test_a_wrong_class_map_is_refused(class_map: dict[str, str], message: str) -> None:
    truth = truth_of(image("a.jpg", true(("cat", BOX))))
    with pytest.raises(AutolabelError, match=message):
        evaluate([record("a.jpg")], truth, ONTOLOGY, config(class_map=class_map))


def test_a_class_that_nobody_labelled_is_not_measured() -> None:
    truth = truth_of(image("a.jpg", true(("cat", BOX))), names=("cat",))
    found = objects(CAT, ("dog", 0.9, AWAY))
    result = evaluate([record("a.jpg", found)], truth, ONTOLOGY, config())
    assert result.photos.unknown == ("dog",)
    assert list(result.row.classes) == ["cat"]
    assert result.row.precision == 1


def test_of_classes_that_differ_in_case_the_first_is_meant() -> None:
    truth = truth_of(image("a.jpg", true(("Cat", BOX))), names=("Cat", "CAT"))
    known = map_classes(truth, Ontology.from_prompts(["cat=kitten", "CAT=tomcat"]), {})
    assert known == {"Cat": "cat", "CAT": "CAT"}


def test_a_class_that_is_left_out_is_no_class() -> None:
    truth = truth_of(image("a.jpg", true(("cow", BOX))), names=("cow",))
    assert map_classes(truth, ONTOLOGY, {"cow": ""}) == {"cow": None}
