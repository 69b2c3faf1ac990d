"""Renaming, merging and dropping classes: the options, and what becomes of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Protocol

from pydantic import BeforeValidator, Field

from autolabel.config.base import Config, as_list
from autolabel.errors import UsageError, suggest
from autolabel.ontology import Ontology, tidy

Rename = Annotated[
    dict[str, str],
    Field(
        description="OLD=NEW: call a class otherwise; it keeps its id. Repeat it for more.",
        examples=["cat=feline"],
    ),
]
Merge = Annotated[
    dict[str, str],
    Field(
        description="A,B=NEW: make one class of several; it takes the id of the first, and of two "
        "of their boxes that coincide (IoU 0.9) the lower-scored goes. Repeat it for more.",
        examples=["cat,dog=pet"],
    ),
]
Drop = Annotated[
    tuple[str, ...],
    BeforeValidator(as_list),
    Field(description="Leave a class and its objects out. Repeat it for more."),
]


class HasClassOptions(Protocol):
    """Options with the three of this file."""

    @property
    def rename(self) -> Mapping[str, str]:
        """Old name -> new name."""

    @property
    def merge(self) -> Mapping[str, str]:
        """Old names with commas between -> new name."""

    @property
    def drop(self) -> Sequence[str]:
        """Names that go."""


class RelabelConfig(Config):
    """What classes are called, without detecting again."""

    rename: Rename = Field({})
    merge: Merge = Field({})
    drop: Drop = ()


@dataclass(frozen=True)
class ClassChanges:
    """What becomes of classes that are renamed, merged or dropped.

    Attributes:
        new: old name -> new name, None where the class is dropped; in the order of the old ids.
        names: new names in the order of their ids 0, 1, 2, …, without gaps.
        was: the id of each of them before.
    """

    new: Mapping[str, str | None]
    names: tuple[str, ...]
    was: tuple[int, ...]

    def __bool__(self) -> bool:
        """Return whether any class is another."""
        return any(old != new for old, new in self.new.items())

    def of(self, ontology: Ontology) -> Ontology:
        """Return the changed classes with the prompts of what they were.

        Where none of what is left had a prompt, names stand for themselves.
        """
        classes: dict[str, tuple[str, ...]] = {}
        for name, prompts in ontology.classes.items():
            new = self.new.get(name, name)
            if new is not None and prompts:
                classes[new] = classes.get(new, ()) + prompts
        ordered = {name: classes[name] for name in self.names if name in classes}
        return Ontology(ordered or {name: (name,) for name in self.names}, ontology.negatives)


def changed_classes(
    names: Sequence[str],
    rename: Mapping[str, str],
    merge: Mapping[str, str],
    drop: Sequence[str],
) -> ClassChanges:
    """Return what becomes of classes; all names on the left are the old ones.

    A renamed class keeps its place, a merged one has that of the first that is named; dropped and
    merged classes leave no gap.

    Args:
        names: classes in the order of their ids.
        rename: old name -> new name.
        merge: old names with commas between -> the name of the one class that they become.
        drop: classes that go.

    Raises:
        UsageError: a name is not a class or is used twice, two classes would have one name without
            being merged, or no class is left.

    Examples:
        >>> done = changed_classes(["cat", "dog", "car"], {"car": "auto"}, {"dog,cat": "pet"}, [])
        >>> done.new, done.names
        ({'cat': 'pet', 'dog': 'pet', 'car': 'auto'}, ('pet', 'auto'))
    """
    asked: list[tuple[str, list[str], str | None]] = [
        *(("rename", [old], tidy(new)) for old, new in rename.items()),
        *(("merge", _listed_in(olds, names), tidy(new)) for olds, new in merge.items()),
        *(("drop", [old], None) for old in drop),
    ]
    new: dict[str, str | None] = {name: name for name in names}
    place = {name: i for i, name in enumerate(names)}
    by: dict[str, int] = {}
    for at, (option, olds, name) in enumerate(asked):
        for old in olds:
            other = asked[by[old]][0] if old in by else None
            _refuse_wrong(option, old, name, names, other)
            new[old], by[old], place[old] = name, at, place[olds[0]]
    _refuse_shared(new, by)
    order = sorted(new, key=lambda old: place[old])
    was = {n: place[old] for old in reversed(order) if (n := new[old]) is not None}
    if not was:
        raise UsageError("no class is left", hint="drop fewer of them")
    left = sorted(was, key=lambda name: was[name])
    return ClassChanges(new, tuple(left), tuple(was[name] for name in left))


def _listed_in(text: str, names: Sequence[str]) -> list[str]:
    """Return the classes of a list with commas; a name may have commas itself.

    >>> _listed_in("a, b,c", ["a, b", "c"]), _listed_in("cat , dog", ["cat", "dog"])
    (['a, b', 'c'], ['cat', 'dog'])
    """
    parts, found = text.split(","), []
    while parts:
        lengths = range(len(parts), 0, -1)
        joined = (n for n in lengths if tidy(",".join(parts[:n])) in names)
        length = next(joined, 1)
        found.append(tidy(",".join(parts[:length])))
        parts = parts[length:]
    return found


def _refuse_wrong(
    option: str, old: str, new: str | None, names: Sequence[str], other: str | None
) -> None:
    """See that an option names a class that no other names, and that it gives it a name."""
    if old not in names:
        raise UsageError(
            f"{option} names {old!r}, which is not a class",
            hint=suggest(old, names, "the classes are"),
        )
    if other is not None:
        raise UsageError(
            f"{option} names {old!r}, which {other} names too",
            hint="name each class once; all names are those before any change",
        )
    if new == "":
        raise UsageError(
            f"{option} gives {old!r} no name", hint=f"write a name, or leave it out: --drop {old}"
        )


def _refuse_shared(new: Mapping[str, str | None], by: Mapping[str, int]) -> None:
    """See that classes have one name only where one option merges them."""
    seen: dict[str, str] = {}
    for old, name in new.items():
        if name is None:
            continue
        first = seen.setdefault(name, old)
        if first != old and (first not in by or by[first] != by.get(old)):
            olds = ",".join(one for one, to in new.items() if to == name)
            raise UsageError(
                f"{first!r} and {old!r} would both be called {name!r}",
                hint=f'one class of them: --merge "{olds}={name}"',
            )


def class_changes(config: HasClassOptions, names: Sequence[str]) -> ClassChanges:
    """Return what the options make of classes.

    Args:
        config: the options.
        names: classes in the order of their ids.

    Raises:
        UsageError: the options do not fit them.
    """
    return changed_classes(names, config.rename, config.merge, config.drop)
