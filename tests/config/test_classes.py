"""What becomes of classes that are renamed, merged and dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autolabel.config import ExportConfig, RelabelConfig, build
from autolabel.config.classes import changed_classes
from autolabel.errors import UsageError
from autolabel.ontology import Ontology

CLASSES = ("cat", "dog", "bird")


@pytest.mark.parametrize(
    ("rename", "merge", "drop", "names", "was"),
    [
        ({}, {}, [], CLASSES, (0, 1, 2)),
        # a renamed class keeps its place, also where two change names
        ({"dog": "puppy"}, {}, [], ("cat", "puppy", "bird"), (0, 1, 2)),
        ({"cat": "dog", "dog": "cat"}, {}, [], ("dog", "cat", "bird"), (0, 1, 2)),
        # merged classes have the place of the first that is named
        ({}, {"cat,bird": "pet"}, [], ("pet", "dog"), (0, 1)),
        ({}, {"bird, cat": "pet"}, [], ("dog", "pet"), (1, 2)),
        ({}, {"cat,dog": "dog"}, [], ("dog", "bird"), (0, 2)),
        # what goes leaves no gap, and its name is free
        ({}, {}, ["cat"], ("dog", "bird"), (1, 2)),
        ({"dog": "cat"}, {}, ["cat"], ("cat", "bird"), (1, 2)),
        ({"bird": "owl"}, {"dog,cat": "pet"}, [], ("pet", "owl"), (1, 2)),
    ],
)
def test_names_and_places(
    rename: dict[str, str], merge: dict[str, str], drop: list[str], names: tuple, was: tuple
) -> None:
    done = changed_classes(CLASSES, rename, merge, drop)
    assert (done.names, done.was) == (names, was)
    assert bool(done) == (names != CLASSES)


@pytest.mark.parametrize(
    ("rename", "merge", "drop", "message", "hint"),
    [
        ({"cta": "x"}, {}, [], "rename names 'cta', which is not a class", "did you mean 'cat'"),
        ({}, {"cat,dgo": "x"}, [], "merge names 'dgo'", "did you mean 'dog'"),
        ({}, {}, ["zebra"], "drop names 'zebra'", "the classes are: cat, dog, bird"),
        ({"cat": "x"}, {}, ["cat"], "drop names 'cat', which rename names too", "once"),
        ({}, {"cat,dog": "x", "bird,cat": "y"}, [], "which merge names too", "once"),
        ({"cat": " "}, {}, [], "rename gives 'cat' no name", "--drop cat"),
        ({"cat": "dog"}, {}, [], "would both be called 'dog'", '--merge "cat,dog=dog"'),
        ({"cat": "x", "dog": "x"}, {}, [], "would both be called 'x'", '--merge "cat,dog=x"'),
        ({}, {"cat,dog": "bird"}, [], "both be called 'bird'", '--merge "cat,dog,bird=bird"'),
        ({"bird": "x"}, {"cat,dog": "x"}, [], "both be called 'x'", '--merge "cat,dog,bird=x"'),
        ({}, {}, list(CLASSES), "no class is left", "fewer"),
        ({}, {"": "x"}, [], "merge names ''", "classes are"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_type(
    rename: dict[str, str], merge: dict[str, str], drop: list[str], message: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=message) as e:
        changed_classes(CLASSES, rename, merge, drop)
    assert hint in e.value.hint


def test_a_name_may_have_commas() -> None:
    done = changed_classes(("a, b", "c", "a"), {}, {"a, b,c": "x"}, [])
    assert done.new == {"a, b": "x", "c": "x", "a": "a"}


def test_prompts_go_with_their_classes() -> None:
    ontology = Ontology.from_mapping(
        {"classes": {"cat": ["cat", "tom"], "dog": "hound", "bird": []}}
    )
    done = changed_classes(ontology.names, {"bird": "owl"}, {"dog,cat": "pet"}, [])
    assert done.of(ontology).classes == {"pet": ("cat", "tom", "hound")}
    alone = changed_classes(ontology.names, {}, {}, ["cat", "dog"])
    assert alone.of(ontology).classes == {"bird": ("bird",)}


def test_a_file_and_the_command_line_say_the_same() -> None:
    given = {"rename": {"cat": "feline"}, "merge": {"dog,wolf": "canine"}, "drop": "bird"}
    export = build(ExportConfig, {"out": "x", **given}, flags=False)
    relabel = build(RelabelConfig, given, flags=False)
    assert relabel.settings() == {**given, "drop": ["bird"]}
    assert (export.rename, export.merge, export.drop) == (relabel.rename, relabel.merge, ("bird",))


NAMES = st.lists(st.text("abcdef ,", min_size=1).map(lambda t: f"x{t}".strip()), min_size=1,
                 max_size=8, unique=True)  # fmt: skip


@given(NAMES, st.data())
def test_every_class_goes_somewhere_and_ids_have_no_gaps(
    names: list[str], data: st.DataObject
) -> None:
    names = [" ".join(name.split()) for name in names]
    names = list(dict.fromkeys(names))
    dropped = data.draw(st.sets(st.sampled_from(names), max_size=len(names) - 1))
    rest = [name for name in names if name not in dropped]
    renamed = {name: f"new {name}" for name in rest if data.draw(st.booleans())}
    done = changed_classes(names, renamed, {}, sorted(dropped))
    assert list(done.new) == names
    assert set(done.new.values()) - {None} == set(done.names)
    assert len(set(done.names)) == len(done.names) == len(rest)
    assert list(done.was) == sorted(done.was), "the order of the ids stays"
    for name, was in zip(done.names, done.was, strict=True):
        assert done.new[names[was]] == name
