"""What a pipeline file would do, and why. Nothing is written, and no model is loaded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autolabel import report, train
from autolabel.config import ExportConfig, PipelineConfig, ReportConfig, TrainConfig
from autolabel.datasets import export
from autolabel.metrics.result import RESULT
from autolabel.ontology import Ontology
from autolabel.pipeline.checks import HandLabels, last_labels, recipe_of, source_in
from autolabel.pipeline.products import queued
from autolabel.stages.corrected import is_current as corrections_are_current
from autolabel.stages.labels import classes_of
from autolabel.stages.scan import new_photos
from autolabel.stages.table import CORRECTED, STAGES, StageEntry
from autolabel.store import Layer, Workspace

PEOPLE = "people have corrected labels since"


@dataclass(frozen=True)
class Planned:
    """What a step would do.

    Attributes:
        step: its name.
        images: how many images it would work on at most; 0 where it would do nothing, None where
            it counts something else.
        reason: why, or why not.
    """

    step: str
    images: int | None
    reason: str

    @property
    def idle(self) -> bool:
        """Whether there is nothing to do."""
        return self.images == 0


def plan(
    config: PipelineConfig,
    steps: Sequence[str],
    hand: HandLabels,
    missing: Sequence[str] = (),
) -> list[Planned]:
    """Say what `run` would do.

    Args:
        config: the pipeline; `autolabel.pipeline.checks.check` has found nothing wrong with it.
        steps: those that would run.
        hand: the hand labels that it names.
        missing: models that are not on this machine.

    Raises:
        AutolabelError: a layer is damaged, or photos cannot be read.
    """
    return _Plan(config, hand, missing).steps(steps)


class _Plan:
    """Goes through the steps in order, and remembers what changes on the way."""

    def __init__(self, config: PipelineConfig, hand: HandLabels, missing: Sequence[str]) -> None:
        self.config = config
        self.hand = hand
        self.missing = set(missing)
        self.workspace = Workspace(Path(config.workspace))
        self.last = last_labels(config)
        self.photos = 0  # of the workspace once ingest is done
        self.fresh = 0  # of these, the new ones
        self.changed: dict[str, str] = {}
        """Layer -> why it changes."""

    def steps(self, names: Sequence[str]) -> list[Planned]:
        return [planned for name in names for planned in self._step(name)]

    def _step(self, name: str) -> list[Planned]:
        if name == "export":
            return self._exports()
        entry = STAGES.get(name)
        if entry is not None and entry.reads:
            return [self._stage(entry)]
        return [getattr(self, f"_{name}")()]

    def _ingest(self) -> Planned:
        self.fresh = new_photos(self.workspace, self.config.ingest)
        images = self.workspace.layer("images")
        known = images.counts().images if images.exists else 0
        self.photos = known + self.fresh
        reasons = [f"{self.fresh} new photos"] if self.fresh else []
        if images.exists:
            asked = STAGES["ingest"].bound(self.workspace, self.config.ingest)
            reasons += images.manifest.changes_to(asked)
            reasons += _problems(self.workspace, images)
        if not reasons:
            return Planned("ingest", 0, "no new photos")
        if not self.fresh or len(reasons) > 1:
            self.changed["images"] = "; ".join(reasons)
        return Planned("ingest", self.fresh or known, "; ".join(reasons))

    def _stage(self, entry: StageEntry) -> Planned:
        config, name = getattr(self.config, entry.name), entry.layer
        named = [model for _, _, model in entry.models_of(config)]
        absent = [f"{model} is to be fetched first" for model in named if model in self.missing]
        if absent:
            return self._all(entry, absent)
        asked, layer = entry.bound(self.workspace, config), self.workspace.layer(name)
        source = source_in(self.config, entry)
        if not layer.exists:
            return self._all(entry, ["not done yet"])
        reasons = layer.manifest.changes_to(replace(asked, source={"layer": source}))
        if source in self.changed:
            reasons.append(f"{source}/ changes")
        if reasons:
            return self._all(entry, reasons)
        problems = _problems(self.workspace, layer)
        rows = _rows_to_do(self.workspace, layer) + self.fresh
        if problems and name != self.last:
            self.changed[name] = problems[0]
        if self.fresh:
            problems.append(f"{self.fresh} new photos")
        return Planned(entry.name, rows, "; ".join(problems) or "up to date")

    def _all(self, entry: StageEntry, reasons: Sequence[str]) -> Planned:
        self.changed[entry.layer] = "; ".join(reasons)
        return Planned(entry.name, self.photos, self.changed[entry.layer])

    def _exports(self) -> list[Planned]:
        return [self._export(one) for one in self.config.export]

    def _export(self, one: ExportConfig) -> Planned:
        name = f"export to {one.out}"
        return self._product(name, one.from_layer, Path(one.out).exists(), partial(_exported, one))

    def _train(self) -> Planned:
        recipe = recipe_of(self.config, self.hand, self._newest())
        folder = train.folder_of(self.workspace.path, recipe)
        current = partial(_trained, recipe)
        named = self.config.train.from_layer if self.config.train else None
        planned = self._product("train", named, folder.exists(), current)
        if not planned.idle:
            self.changed["train"] = "another student"
        return planned

    def _evaluate(self) -> Planned:
        changed = [f"{name}/ changes" for name in (self.last, "train") if name in self.changed]
        if self.fresh and not changed:
            changed = [f"{self.fresh} new photos"]
        if not changed and not corrections_are_current(self.workspace):
            changed = [PEOPLE]
        if not (self.workspace.path / RESULT).exists():
            changed = ["not measured yet"]
        again = "measured already; again where hand labels or options are others"
        return Planned("evaluate", None, "; ".join(changed) or again)

    def _report(self) -> Planned:
        about = self.config.report
        assert about is not None  # it is among the steps
        current = partial(_reported, about)
        if "train" in self.changed:
            return Planned("report", None, "train/ changes")
        return self._product("report", about.layer, False, current)

    def _product(
        self, step: str, layer: str | None, there: bool, is_current: Callable[..., bool]
    ) -> Planned:
        """Plan a step whose result is not a layer; `there` is whether something was made before."""
        name = layer or self.last
        if name in self.changed:
            return Planned(step, None, f"{name}/ changes")
        if layer is None and not corrections_are_current(self.workspace):
            return Planned(step, None, PEOPLE)
        if self.fresh:
            return Planned(step, None, f"{self.fresh} new photos")
        labels = self.workspace.require(layer or self._newest())
        if is_current(self.workspace, labels, classes_of(self.workspace, labels)):
            return Planned(step, 0, "up to date")
        return Planned(step, None, "labels or options are others" if there else "not done yet")

    def _newest(self) -> str:
        """Return the layer that the file ends with, people's labels laid over as they are now."""
        over = self.workspace.layer(CORRECTED)
        source = over.manifest.source if over.exists else None
        return CORRECTED if source and source["layer"] == self.last else self.last


def _exported(one: ExportConfig, workspace: Workspace, layer: Layer, ontology: Ontology) -> bool:
    return export.is_current(workspace, layer, ontology, one, queued(workspace, layer, one))


def _trained(one: TrainConfig, workspace: Workspace, layer: Layer, ontology: Ontology) -> bool:
    return train.is_current(workspace, layer, ontology, one)


def _reported(one: ReportConfig, workspace: Workspace, layer: Layer, ontology: Ontology) -> bool:
    about = one.model_copy(update={"layer": layer.name})
    return report.is_current(workspace, layer, about) is not None


def _problems(workspace: Workspace, layer: Layer) -> list[str]:
    """Say that it is stale or unfinished."""
    problem = workspace.state(layer.name).problem()
    return [problem] if problem else []


def _rows_to_do(workspace: Workspace, layer: Layer) -> int:
    """Count the images in shards that are to be done."""
    state = workspace.state(layer.name)
    source = workspace.layer(state.source or "")
    there = set(source.shards())
    return sum(source.rows(i) for i in (state.lacking | state.outdated) & there)
