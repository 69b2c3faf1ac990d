"""What can be named in a table, be it built in or brought by another installed package.

Each kind of thing has one `PluginTable`: models, formats, filter rules, stages. A built-in one is a
row in its code; a package adds one by an entry point in its `pyproject.toml`,

    [project.entry-points."autolabel.models"]
    my-detector = "my_package:MY_DETECTOR"

and both are looked up, listed and checked in the same way (`autolabel.testing` has the checks).

A plugin that is broken costs its own names and nothing else: what is wrong with it is kept as text,
for the command line to warn of.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Any, Generic, TypeVar, cast

T = TypeVar("T")

BUILT_IN = "autolabel"
"""Source of what no plugin brings."""


@dataclass(frozen=True)
class Plugins(Generic[T]):
    """What the installed packages register of one kind.

    Attributes:
        values: name -> what it stands for.
        sources: name -> the package and version that registers it.
        problems: one line for each entry that cannot be used.
    """

    values: Mapping[str, T]
    sources: Mapping[str, str]
    problems: tuple[str, ...]


class PluginTable(Mapping[str, T]):
    """Name -> value: the built-in ones in their order, then those of installed packages by name.

    The packages are looked for when the table is first read, and once; to make one costs nothing.

    Args:
        kind: what a value is, in a word, for messages.
        group: entry point group of the packages' values.
        built_in: our own; one that takes long to import is given as `module:name`.
        expected: the class of a value, or its `module:name`.
        wrong: further says what is wrong with a plugin's name and value; None where nothing is.

    >>> table = PluginTable("greeting", "autolabel.none", {"en": "hello"}, str)
    >>> list(table), table["en"], table.source("en")
    (['en'], 'hello', 'autolabel')
    """

    tables: list[PluginTable[Any]] = []  # noqa: RUF012 - of the class, not of one of them
    """Every table of this process."""

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, T | str],
        expected: type[T] | str,
        wrong: Callable[[str, T], str | None] = lambda name, value: None,
    ) -> None:
        self.kind = kind
        self.group = group
        self.built_in = built_in
        self._expected = expected
        self._wrong = wrong
        self.tables.append(self)

    def __getitem__(self, name: str) -> T:
        """Return what the name stands for.

        Raises:
            KeyError: it is not registered.
        """
        if name not in self.built_in:
            return self.plugins.values[name]
        value = self.built_in[name]
        if isinstance(value, str) and not isinstance("", self.expected):
            return cast(T, named(value))
        return cast(T, value)

    def __iter__(self) -> Iterator[str]:
        yield from self.built_in
        yield from self.plugins.values

    def __len__(self) -> int:
        return len(self.built_in) + len(self.plugins.values)

    def __contains__(self, name: object) -> bool:
        return name in self.built_in or name in self.plugins.values

    def source(self, name: str) -> str:
        """Return the package and version that registers a name; `BUILT_IN` of our own."""
        return self.plugins.sources.get(name, BUILT_IN)

    @functools.cached_property
    def expected(self) -> type[T]:
        """The class of a value."""
        given = self._expected
        return cast(type[T], named(given)) if isinstance(given, str) else given

    @functools.cached_property
    def plugins(self) -> Plugins[T]:
        """What the installed packages add, sorted by name; the first of two of one name."""
        values: dict[str, T] = {}
        sources: dict[str, str] = {}
        entries, problems = _entries(self.group)
        for entry in entries:
            source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
            try:
                found = entry.load()
                why = self._refused(entry, found, sources)
            except (Exception, SystemExit) as e:  # a plugin's code may raise anything
                why = _line(e)
            if why:
                problems.append(f"{self.kind} {entry.name!r} of {source} is left out: {why}")
            else:
                values[entry.name], sources[entry.name] = found, source
        return Plugins(values, sources, tuple(problems))

    def forget(self) -> None:
        """Look for packages anew the next time, as after one was installed."""
        vars(self).pop("plugins", None)

    def _refused(self, entry: EntryPoint, found: Any, sources: Mapping[str, str]) -> str | None:
        if not isinstance(found, self.expected):
            return f"it is a {type(found).__name__}, not a {self.expected.__name__}"
        if entry.name in self.built_in:
            return "the name is one of autolabel's own"
        if entry.name in sources:
            return f"the name is registered by {sources[entry.name]} too"
        return self._wrong(entry.name, found)


def _entries(group: str) -> tuple[list[EntryPoint], list[str]]:
    """Return what packages register, by name, and what is wrong with lists that cannot be read."""
    found: dict[tuple[str, str], EntryPoint] = {}
    problems: list[str] = []
    try:
        return sorted(entry_points(group=group), key=lambda e: e.name), problems
    except Exception:  # the list of some package is damaged, of ours or not: leave out that one
        for package in distributions():
            try:
                for entry in package.entry_points.select(group=group):
                    found.setdefault((entry.name, package.name), entry)
            except Exception as e:
                problems.append(f"what {package.name} registers cannot be read: {_line(e)}")
    return [found[key] for key in sorted(found)], problems


def _line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


def problems_met() -> tuple[str, ...]:
    """Return what is wrong with the plugins of the tables that were read so far; load none."""
    read = (vars(table).get("plugins") for table in PluginTable.tables)
    return tuple(line for plugins in read if plugins is not None for line in plugins.problems)


def named(target: str) -> Any:
    """Return the attribute of a module, both as in `module:name`.

    Raises:
        ImportError: there is no such module.
        AttributeError: the module has no such attribute.
    """
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
