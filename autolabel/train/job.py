"""One training: what it learns from, by which recipe, and what ``run.json`` says while it lasts."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from autolabel import __version__
from autolabel.config import EngineConfig, TrainConfig
from autolabel.datasets.names import tidy_stem
from autolabel.datasets.task import Task
from autolabel.ontology import Ontology
from autolabel.stages.running import Reporter
from autolabel.store import Layer, Workspace
from autolabel.train.choose import ChosenLayer
from autolabel.train.dataset import Dataset
from autolabel.train.folder import UNFINISHED, read_run

if TYPE_CHECKING:
    from autolabel.train.yolo import Start

LICENCE = "the trainer, ultralytics, is under AGPL-3.0; its makers say so of trained weights too"


class Earlier(BaseModel):
    """What ``run.json`` notes of earlier attempts; nothing where it is damaged."""

    epochs_done: int = 0
    resumed_from: list[int] = []
    seconds: float = 0.0

    @classmethod
    def of(cls, folder: Path) -> Earlier:
        """Read it."""
        try:
            return cls.model_validate(read_run(folder))
        except ValidationError:
            return cls()


@dataclass(frozen=True)
class Job:
    """One training.

    Attributes:
        workspace: where the labels and the folder are.
        chosen: the labels to learn from.
        ontology: their classes.
        config: the student and the recipe.
        engine: where it runs.
        start: what it begins with.
        natural: boxes or masks, by the labels alone.
        request: hash of what was asked for, see `request_of`.
        report: called with the number of epochs to do.
        say: called with what is to be known before it begins.
    """

    workspace: Workspace
    chosen: ChosenLayer
    ontology: Ontology
    config: TrainConfig
    engine: EngineConfig
    start: Start
    natural: Task
    request: str
    report: Reporter
    say: Callable[[str], None]

    @property
    def final(self) -> Path:
        """Return the folder of the student."""
        name = tidy_stem(self.config.name or self.start.name)
        return self.workspace.path / "train" / name

    @property
    def binding(self) -> dict[str, Any]:
        """Return what binds the student: another one has other weights."""
        return {
            "settings": {k: v for k, v in self.config.settings().items() if k != "task"},
            "student": self.start.identity["student"],
            "revision": self.start.identity["revision"],
            "masks": self.start.masks,
            "layer": self.chosen.name,
            "classes": list(self.ontology.names),
            "labels": self.chosen.fingerprint(),
        }

    @property
    def reason(self) -> str:
        """Return why boxes or masks are learned, in words that follow "task: segment,"."""
        if self.config.task != "auto":
            return "as asked"
        if self.natural.masks and not self.start.masks:
            return f"since student {self.config.student} finds boxes alone"
        return self.natural.reason

    def opened(self, folder: Path, binding: Mapping[str, Any], data: Dataset) -> dict[str, Any]:
        """Return what run.json says at first; what an earlier attempt noted stays."""
        before, config, name = Earlier.of(folder), self.config, self.final.name
        here = Path(config.student).expanduser()
        student = str(here.resolve()) if here.is_file() else config.student
        return {
            "state": UNFINISHED,
            "name": name,
            "student": binding["student"],
            "masks": binding["masks"],
            "layer": self.chosen.name,
            "classes": binding["classes"],
            "fingerprint": binding["labels"],
            "layer_fingerprint": Layer.fingerprint(self.chosen),
            "settings": {**config.model_dump(mode="json"), "student": student, "name": name},
            "images": data.images,
            "rewritten": data.rewritten,
            "val_images": data.val_images,
            "objects": sum(data.objects.values()),
            "objects_by_class": data.objects,
            "skipped": data.skipped,
            "epochs": config.epochs,
            "epochs_done": before.epochs_done,
            "best_epoch": None,
            "resumed_from": before.resumed_from,
            "seconds": before.seconds,
            "versions": _versions(),
            "machine": _machine(self.engine),
            "licence": LICENCE,
            "binding": binding,
            "request": self.request,
            "reason": self.reason,
        }


def _versions() -> dict[str, str]:
    trainers = ("ultralytics", "torch")
    return {
        "autolabel": __version__,
        **{name: importlib.import_module(name).__version__ for name in trainers},
    }


def _machine(engine: EngineConfig) -> str:
    """Return what it is trained on: the same seed gives the same weights on the like of it."""
    devices = importlib.import_module("autolabel.models.device")
    machine = importlib.import_module("autolabel.models.machine")
    name: str = machine.processor(devices.resolve(engine.device))
    return name
