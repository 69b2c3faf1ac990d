"""Models that other installed packages register, by the entry point group `autolabel.models`.

Such a package states in its `pyproject.toml`

    [project.entry-points."autolabel.models"]
    my-detector = "my_package:MY_DETECTOR"

where `MY_DETECTOR` is a `Registered`. Its `adapter` names a class of the package that is made with
a `Located` and a device, and does what `autolabel.models.base` asks of the task.

A plugin that is broken costs its own names and nothing else: what is wrong with it is kept as text,
for the command line to warn of.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

from autolabel.registry.catalogue import MODELS, TASKS, Registered

GROUP = "autolabel.models"


@dataclass(frozen=True)
class Plugins:
    """What the installed packages register.

    Attributes:
        models: name -> checkpoint.
        sources: name -> the package and version that registers it.
        problems: one line for each entry that cannot be used.
    """

    models: Mapping[str, Registered]
    sources: Mapping[str, str]
    problems: tuple[str, ...]


@functools.cache
def installed() -> Plugins:
    """The models of every installed package, read once."""
    models: dict[str, Registered] = {}
    sources: dict[str, str] = {}
    problems: list[str] = []
    for entry in entry_points(group=GROUP):
        source = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
        try:
            found = entry.load()
        except (Exception, SystemExit) as e:  # a plugin's code may raise anything
            problems.append(_line(entry, source, f"{type(e).__name__}: {e}"))
            continue
        wrong = _wrong(entry.name, found, sources)
        if wrong:
            problems.append(_line(entry, source, wrong))
        else:
            models[entry.name], sources[entry.name] = found, source
    return Plugins(models, sources, tuple(problems))


def problems_met() -> tuple[str, ...]:
    """What is wrong with the plugins, where this process has looked at them; loads none."""
    return installed().problems if installed.cache_info().currsize else ()


def _wrong(name: str, found: object, sources: Mapping[str, str]) -> str | None:
    if not isinstance(found, Registered):
        return f"it is a {type(found).__name__}, not a Registered"
    if name in MODELS:
        return "the name is one of autolabel's own"
    if name in sources:
        return f"the name is registered by {sources[name]} too"
    if found.task not in TASKS:
        return f"there is no task {found.task!r}"
    if found.adapter.count(":") > 1 or (found.adapter and ":" not in found.adapter):
        return f"the adapter {found.adapter!r} is not module:Class"
    return None


def _line(entry: EntryPoint, source: str, why: str) -> str:
    return f"model {entry.name!r} of {source} is left out: {' '.join(why.split())[:200]}"
