"""What a pipeline file asks for, and what stops it, before the first photo is looked at."""

from __future__ import annotations

import errno
import functools
import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from autolabel import registry
from autolabel.config import PipelineConfig, TrainConfig, class_changes
from autolabel.datasets.export import check_place
from autolabel.datasets.ground_truth import GroundTruth, read_hand_labels
from autolabel.errors import UsageError
from autolabel.pipeline.file import known_steps
from autolabel.registry import hub_cache
from autolabel.stages.table import STAGES, StageEntry
from autolabel.store import Workspace, locked_names, not_writable
from autolabel.train import check_student, folder_of, is_complete
from autolabel.train.choose import apart_from


def named(config: PipelineConfig, until: str | None = None) -> list[str]:
    """Return the steps that the file names, up to and with `until`.

    Raises:
        UsageError: the file has no such step.
    """
    steps = [step for step in known_steps() if getattr(config, step, None) not in (None, ())]
    if until is None:
        return steps
    if until not in steps:
        raise UsageError(
            f"the file has no step {until!r} to stop after",
            hint=f"its steps are: {', '.join(steps)}",
        )
    return steps[: steps.index(until) + 1]


def made_by(config: PipelineConfig) -> dict[str, StageEntry]:
    """Return layer -> the stage that makes it, of the stages that the file names."""
    named = (entry for name, entry in STAGES.items() if getattr(config, name, None) is not None)
    return {entry.layer: entry for entry in named}


def last_labels(config: PipelineConfig) -> str:
    """Return the newest layer of labels that the file makes; another one is of an earlier file."""
    return [layer for layer, entry in made_by(config).items() if entry.labels][-1]


def source_in(config: PipelineConfig, entry: StageEntry) -> str:
    """Return the layer that a stage works on: one that an earlier file asked for is not of this."""
    return entry.first_of(made_by(config)) or entry.reads[0]


class HandLabels:
    """The hand labels that a pipeline file names, each read once, when it is needed.

    Args:
        config: the pipeline.

    Raises:
        AutolabelError: on reading, they cannot be read.
    """

    def __init__(self, config: PipelineConfig) -> None:
        self._named = config.evaluate

    @functools.cached_property
    def truth(self) -> GroundTruth | None:
        """What is measured against; None where nothing is."""
        return read_hand_labels(Path(self._named.truth)) if self._named else None

    @functools.cached_property
    def reference(self) -> GroundTruth | None:
        """What a student learns from to compare with, where that is asked for."""
        named = self._named.reference if self._named else None
        return read_hand_labels(Path(named)) if named else None


def recipe_of(config: PipelineConfig, hand: HandLabels, newest: str | None = None) -> TrainConfig:
    """Return the training that the file asks for, on its own labels, kept from measured photos.

    Args:
        config: the pipeline.
        hand: the hand labels that it names.
        newest: the layer to learn from where the file names none; the last that it makes.

    Raises:
        AutolabelError: the hand labels cannot be read.
    """
    recipe = config.train or TrainConfig()
    layer = recipe.from_layer or newest or last_labels(config)
    recipe = recipe.model_copy(update={"from_layer": layer})
    return recipe if hand.truth is None else apart_from(recipe, hand.truth)


def models(config: PipelineConfig, steps: Collection[str]) -> list[tuple[str, str]]:
    """Return task and name of every model that the steps load."""
    return [
        (task, name)
        for step, entry in STAGES.items()
        if step in steps
        for _, task, name in entry.models_of(getattr(config, step))
    ]


def check(
    config: PipelineConfig, steps: Sequence[str], hand: HandLabels, *, fetch: bool = True
) -> list[str]:
    """See that every step can begin: photos, prompts, models, student, truth, places to write.

    Args:
        config: the pipeline.
        steps: those that will run, in their order.
        hand: the hand labels that it names.
        fetch: whether models that are not on this machine are fetched now.

    Returns:
        Models that would have to be fetched, where `fetch` is False.

    Raises:
        AutolabelError: the first thing that stops the run.
    """
    for step in steps:
        if step in STAGES:
            STAGES[step].check(getattr(config, step), config)
        else:
            _TESTS[step](config, hand)
    _check_writable(Path(config.workspace))
    missing = []
    for task, name in models(config, steps):
        if not fetch and _is_absent(name):
            missing.append(name)
        else:
            registry.adapter_of(registry.locate(task, name))
    return missing


def _export(config: PipelineConfig, hand: HandLabels) -> None:
    places: set[Path] = set()
    for one in config.export:
        out = Path(one.out)
        if out.resolve() in places:
            raise UsageError(f"two exports go to {out}", hint="give each a folder of its own: out")
        places.add(out.resolve())
        class_changes(one, _classes_in(config, one.from_layer or last_labels(config)))
        check_place(out, one.format)
        _check_writable(out)


def _classes_in(config: PipelineConfig, layer: str) -> tuple[str, ...]:
    """Return the classes that a layer of labels will have, in the order of their ids."""
    locked = locked_names(Workspace(config.workspace))
    names = config.detect.resolve_ontology().with_ids(locked).names
    if config.relabel is None or layer in STAGES["relabel"].reads:
        return names
    return class_changes(config.relabel, names).names


def _train(config: PipelineConfig, hand: HandLabels) -> None:
    assert config.train is not None  # it is among the steps
    if not is_complete(folder_of(Path(config.workspace), config.train)):  # it takes seconds to load
        check_student(config.train)


def _evaluate(config: PipelineConfig, hand: HandLabels) -> None:
    _ = hand.truth, hand.reference  # reading them finds what is wrong


def _report(config: PipelineConfig, hand: HandLabels) -> None:
    assert config.report is not None  # it is among the steps
    if config.report.out:
        out = Path(config.report.out)
        if out.is_dir():
            raise UsageError(f"{out} is a folder", hint="name the page: report.out: report.html")
        _check_writable(out.parent)


_TESTS: Mapping[str, Callable[[PipelineConfig, HandLabels], None]] = {
    "export": _export,
    "train": _train,
    "evaluate": _evaluate,
    "report": _report,
}


def _check_writable(folder: Path) -> None:
    """See that a folder can be written, or be made."""
    here = folder.absolute()
    while not here.exists() and here != here.parent:
        here = here.parent
    if not here.is_dir():
        raise not_writable(folder, NotADirectoryError(errno.ENOTDIR, f"{here} is not a folder"))
    if not os.access(here, os.W_OK | os.X_OK):
        raise not_writable(folder, PermissionError(errno.EACCES, os.strerror(errno.EACCES)))


def _is_absent(name: str) -> bool:
    """Say whether a model would have to be fetched."""
    if Path(name).expanduser().exists():
        return False
    return hub_cache.cached(registry.hub_id_of(name)) is None
