from __future__ import annotations

import pytest

from autolabel.errors import UsageError
from autolabel.ontology import Ontology


def test_a_class_gathers_its_prompts_and_keeps_its_place() -> None:
    o = Ontology.from_prompts(["RBC=red  blood cell", "platelet", "RBC=erythrocyte"], ["smudge"])
    assert o.names == ("RBC", "platelet")
    assert o.classes["RBC"] == ("red blood cell", "erythrocyte")
    assert o.pairs()[-1] == (None, "smudge")


@pytest.mark.parametrize(
    ("data", "classes", "negatives"),
    [
        # our own layout
        (
            {"classes": {"a": ["x", "y"], "b": "z"}, "negatives": ["n"]},
            {"a": ("x", "y"), "b": ("z",)},
            ("n",),
        ),
        # a bare list of names
        ({"classes": ["a", "b"]}, {"a": ("a",), "b": ("b",)}, ()),
        # a class without prompts is its own prompt
        ({"classes": {"a": None}}, {"a": ("a",)}, ()),
        # autodistill's prompt-to-class mapping, two prompts to one class
        ({"red cell": "RBC", "erythrocyte": "RBC"}, {"RBC": ("red cell", "erythrocyte")}, ()),
    ],
)
def test_mappings(data: dict, classes: dict, negatives: tuple) -> None:
    o = Ontology.from_mapping(data)
    assert dict(o.classes) == classes
    assert o.negatives == negatives
    assert Ontology.from_mapping(o.to_mapping()) == o


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Ontology.from_prompts(["a=x", "b=X"]), "'X' is given twice"),
        (lambda: Ontology.from_prompts(["a"], ["a"]), "given twice"),
        (lambda: Ontology.from_prompts(["a="]), "empty prompt"),
        (lambda: Ontology.from_prompts(["=x"]), "no name"),
        (lambda: Ontology.from_mapping([]), "not a mapping"),
        (lambda: Ontology.from_mapping({"x": 3}), "not text"),
        (lambda: Ontology.from_mapping({"classes": {}}), "neither a list nor a mapping"),
        (
            lambda: Ontology.from_mapping({"classes": ["a"], "negative": []}),
            "unknown key 'negative'",
        ),
    ],
)
def test_what_is_no_ontology_is_refused_with_a_hint(build, message: str) -> None:
    with pytest.raises(UsageError, match=message) as e:
        build()
    assert e.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "red blood cell, platelet",
        "red blood cell . platelet .",
        "red blood cell. platelet.",
        "red blood cell; platelet",
    ],
)
def test_a_list_of_things_is_no_class_and_both_spellings_are_told(text: str) -> None:
    with pytest.raises(UsageError, match="lists 2 things") as e:
        Ontology.from_prompts(["cat", text])
    assert '2 classes: --prompt "red blood cell" --prompt platelet;' in e.value.hint
    assert e.value.hint.endswith('--prompt "NAME=red blood cell, platelet"')
    # an ontology file says what it means
    assert Ontology.from_mapping({"classes": [text]}).names == (text,)


@pytest.mark.parametrize(
    ("prompts", "negatives", "hint"),
    [
        (["X=a . b, c"], [], '--prompt "X=a, b, c"'),
        (["cell, platelet=platelet"], [], "--prompt cell --prompt platelet"),
        (["cat."], [], "--prompt cat"),
        (["cat"], ["smudge, dust speck"], '--negative smudge --negative "dust speck"'),
    ],
)
def test_lists_elsewhere(prompts: list[str], negatives: list[str], hint: str) -> None:
    with pytest.raises(UsageError) as e:
        Ontology.from_prompts(prompts, negatives)
    assert hint in e.value.hint


@pytest.mark.parametrize("text", ["St. Bernard", "no. 5 bolt", "3.5 inch disk", "T.V"])
def test_a_point_within_a_name_stays(text: str) -> None:
    assert Ontology.from_prompts([text]).names == (text,)


def test_ids_keep_their_order_when_only_the_order_differs() -> None:
    stored = Ontology.from_prompts(["b", "a"])
    assert Ontology.from_prompts(["a", "b"]).ordered_like(stored).names == ("b", "a")
    # other classes, or other prompts, are another ontology
    assert Ontology.from_prompts(["a", "c"]).ordered_like(stored).names == ("a", "c")
    assert Ontology.from_prompts(["a", "b=x"]).ordered_like(stored).names == ("a", "b")
