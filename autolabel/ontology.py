"""What to look for: classes, the prompts that name each, and prompts that only compete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autolabel.errors import UsageError


@dataclass(frozen=True)
class Ontology:
    """Classes in the order of their ids, each with the prompts that find it.

    Attributes:
        classes: class name -> its prompts; the order gives the ids 0, 1, 2, … One without prompts
            is not looked for and keeps its id.
        negatives: prompts that compete for boxes and whose boxes are dropped.

    Examples:
        >>> o = Ontology.from_prompts(["RBC=red blood cell, erythrocyte", "platelet"], ["smudge"])
        >>> o.names
        ('RBC', 'platelet')
        >>> o.pairs()[:2], o.pairs()[-1]
        ([('RBC', 'red blood cell'), ('RBC', 'erythrocyte')], (None, 'smudge'))
    """

    classes: Mapping[str, tuple[str, ...]]
    negatives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        owner: dict[str, str | None] = {}
        for name, prompt in self.pairs():
            if not prompt:
                raise UsageError(
                    f"class {name!r} has an empty prompt", hint='write --prompt "CLASS=prompt"'
                )
            key = prompt.casefold()
            if key in owner:
                raise UsageError(
                    f"prompt {prompt!r} is given twice",
                    hint="a prompt belongs to one class, or to the negatives",
                )
            owner[key] = name
        for name, prompts in self.classes.items():
            if not name:
                raise UsageError(
                    f"a class has no name, and the prompts {', '.join(prompts)}",
                    hint='write --prompt "cat", or --prompt "CLASS=prompt, prompt"',
                )

    @property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their ids."""
        return tuple(self.classes)

    def pairs(self) -> list[tuple[str | None, str]]:
        """Every prompt with its class, negatives last with class None."""
        positive: list[tuple[str | None, str]] = [
            (name, prompt) for name, prompts in self.classes.items() for prompt in prompts
        ]
        return positive + [(None, prompt) for prompt in self.negatives]

    @classmethod
    def from_prompts(cls, prompts: Sequence[str], negatives: Sequence[str] = ()) -> Ontology:
        """Build from command-line text: ``cat`` or ``CLASS=prompt, prompt``.

        Raises:
            UsageError: a text lists several things, which would become one class of that name. An
                ontology file may state such names.
        """
        classes: dict[str, tuple[str, ...]] = {}
        for text in prompts:
            name, equals, rest = text.partition("=")
            given = rest.split(",") if equals else [name]
            if len(_parts(name)) > 1 or (not equals and name.rstrip().endswith(".")):
                raise _several(text, _parts(name))
            for prompt in given:
                if len(_parts(prompt)) > 1:
                    raise _several(text, [p for one in given for p in _parts(one)], name)
            name = tidy(name)
            classes[name] = classes.get(name, ()) + tuple(tidy(p) for p in given)
        for text in negatives:
            if len(parts := _parts(text)) > 1:
                raise UsageError(
                    f"--negative {text!r} lists {len(parts)} things",
                    hint=f"repeat it: {' '.join(f'--negative {_quoted(p)}' for p in parts)}",
                )
        return cls(classes, tuple(tidy(n) for n in negatives))

    @classmethod
    def from_mapping(cls, data: Any, negatives: Sequence[str] = ()) -> Ontology:
        """Build from our own layout, or from the prompt-to-class mapping of autodistill.

        Ours is ``{"classes": {name: prompt or [prompts]}, "negatives": [prompts]}``, or
        ``classes`` as a list of names; any other mapping of text to text is read as
        ``{prompt: class}``.

        Examples:
            >>> Ontology.from_mapping({"red blood cell": "RBC", "erythrocyte": "RBC"}).classes
            {'RBC': ('red blood cell', 'erythrocyte')}
        """
        if not isinstance(data, Mapping) or not data:
            raise UsageError(
                "the ontology is not a mapping of classes to prompts",
                hint='write {"classes": {"cat": ["cat", "kitten"]}} or {"prompt": "class"}',
            )
        if "classes" in data:
            return cls._from_layout(data, negatives)
        classes: dict[str, tuple[str, ...]] = {}
        for prompt, name in data.items():
            if not isinstance(prompt, str) or not isinstance(name, str):
                raise UsageError(
                    f"ontology entry {prompt!r}: {name!r} is not text: text",
                    hint='write {"prompt": "class"}, or put the classes under "classes:"',
                )
            classes[tidy(name)] = (*classes.get(tidy(name), ()), tidy(prompt))
        return cls(classes, tuple(tidy(n) for n in negatives))

    @classmethod
    def _from_layout(cls, data: Mapping[str, Any], negatives: Sequence[str]) -> Ontology:
        unknown = set(map(str, data)) - {"classes", "negatives"}
        if unknown:
            raise UsageError(
                f"the ontology has an unknown key {sorted(unknown)[0]!r}",
                hint="its keys are 'classes' and 'negatives'",
            )
        given = data["classes"]
        if isinstance(given, Sequence) and not isinstance(given, str):
            given = {str(name): name for name in given}
        if not isinstance(given, Mapping) or not given:
            raise UsageError(
                "the ontology's 'classes' is neither a list nor a mapping",
                hint="write classes: {cat: [cat, kitten], dog: dog}",
            )
        classes = {
            tidy(str(name)): tuple(
                tidy(str(p)) for p in _listed(name if prompts in (None, "") else prompts)
            )
            for name, prompts in given.items()
        }
        named = tuple(tidy(str(p)) for p in _listed(data.get("negatives") or ()))
        return cls(classes, named + tuple(tidy(n) for n in negatives))

    def to_mapping(self) -> dict[str, Any]:
        """The layout that `from_mapping` reads, for YAML and JSON."""
        return {
            "classes": {name: list(prompts) for name, prompts in self.classes.items()},
            "negatives": list(self.negatives),
        }

    def ordered_like(self, other: Ontology) -> Ontology:
        """The same classes in the order of `other`, so that ids stay, if the classes are equal."""
        if dict(self.classes) != dict(other.classes):
            return self
        return Ontology({name: self.classes[name] for name in other.names}, self.negatives)

    def with_ids(self, names: Iterable[str]) -> Ontology:
        """The same classes, and those of `names`, in the order of `names`; others come last.

        >>> Ontology.from_prompts(["dog", "bird"]).with_ids(["cat", "dog"]).classes
        {'cat': (), 'dog': ('dog',), 'bird': ('bird',)}
        """
        ordered = dict.fromkeys((*names, *self.names))
        return Ontology({name: self.classes.get(name, ()) for name in ordered}, self.negatives)

    def fingerprint(self) -> str:
        """Text that is equal for equal ontologies, order included."""
        return json.dumps(self.to_mapping(), ensure_ascii=False)


_BETWEEN = re.compile(r"[,;]|\s\.(?=\s|$)|\.$|(?<=\w{3})\.\s")
"""What stands between things in a list; the point of ``St. Bernard`` or ``no. 5`` does not."""


def _parts(text: str) -> list[str]:
    """
    >>> _parts("red cell, cat"), _parts("cat . dog ."), _parts("cat. dog"), _parts("St. Bernard")
    (['red cell', 'cat'], ['cat', 'dog'], ['cat', 'dog'], ['St. Bernard'])
    """
    return [part for one in _BETWEEN.split(text.strip()) if (part := tidy(one))]


def _several(text: str, parts: Sequence[str], name: str = "") -> UsageError:
    """The refusal of a prompt that lists things, with the spellings that are meant."""
    each = " ".join(f"--prompt {_quoted(p)}" for p in parts)
    together = f'--prompt "{tidy(name) or "NAME"}={", ".join(parts)}"'
    if len(parts) < 2:
        return UsageError(f"--prompt {text!r} ends with a point", hint=f"write {each}")
    return UsageError(
        f"--prompt {text!r} lists {len(parts)} things, and would be one class of that name",
        hint=f"{len(parts)} classes: {each}; one class with several prompts: {together}",
    )


def _quoted(text: str) -> str:
    return f'"{text}"' if " " in text else text


def tidy(text: str) -> str:
    """Return a name or prompt with single spaces between its words."""
    return " ".join(text.split())


def _listed(value: Any) -> Sequence[Any]:
    return [value] if isinstance(value, str) or not isinstance(value, Sequence) else value
