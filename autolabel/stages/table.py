"""The table of stages: what each of them is, said once.

A stage is a row here: the command line, `run`, its dry run and its checks, the replay on
hand-labelled photos, the speed measurement, `status`, the history and the report read it. To add a
stage, write its class, its options, and a row; another package adds one by an entry point,

    [project.entry-points."autolabel.stages"]
    my-stage = "my_package:MY_STAGE"

where `MY_STAGE` is a `StageEntry` of that name. What a row runs is named as `module:name` and
imported when it is needed, so that help loads neither numpy nor Arrow.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from autolabel.config import (
    Config,
    DetectConfig,
    EngineConfig,
    FilterConfig,
    IngestConfig,
    PipelineConfig,
    RefineConfig,
    RelabelConfig,
)
from autolabel.plugins import PluginTable, named

if TYPE_CHECKING:
    from autolabel.engine.base import Stage
    from autolabel.ontology import Ontology
    from autolabel.registry import Located
    from autolabel.stages.running import StageResult
    from autolabel.store import Manifest, Workspace

GROUP = "autolabel.stages"
"""Entry point group of the stages of other packages."""


@dataclass(frozen=True)
class StageEntry:
    """What a stage is.

    Those before `layer` say all that an ordinary stage needs, which maps the records of a layer in
    batches; the functions are for what goes beyond, and where they are not named,
    `autolabel.stages.running` does what most stages need.

    Attributes:
        name: of its command, of its section in a pipeline file, and in the manifests of its layer.
        config: its options; the fields in `models` and what else names files are in its `HOW`.
        stage: `module:Class`, made with the options, the ontology, the files of its models by
            option, and a device; see `autolabel.engine.base.Stage` for what it does.
        reads: layers that it works on by default, the most preferred one first; none where it
            reads files.
        pixels: whether the engine reads the pixels of the records for it.
        models: option that names a model -> the task of that model.
        layer: the layer that it makes; that of its name where this is empty.
        labels: whether that layer holds labels.
        about: what it does, in a sentence, for help.
        learns: whether it learns from the whole layer; `run_by` then takes `learned_from`, a
            workspace whose lessons are used in place of own ones.
        run_by: `module:function` that runs it over a workspace.
        bound_by: `module:function` of workspace and config: the manifest that binds its layer.
        checked_by: `module:function` of its config and the pipeline's: what can be wrong with it
            before a first photo is looked at.
        timed_by: `module:function` that makes what is timed of it, by name, out of what `stage` is
            made with; by default the stage, where it runs a model.
    """

    name: str
    config: type[Config]
    stage: str = ""
    reads: tuple[str, ...] = ()
    pixels: bool = False
    models: Mapping[str, str] = field(default_factory=dict)
    layer: str = ""
    labels: bool = True
    about: str = ""
    learns: bool = False
    run_by: str = ""
    bound_by: str = ""
    checked_by: str = ""
    timed_by: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", self.layer or self.name)

    def run(
        self, workspace: Workspace, config: Config, engine: EngineConfig, **options: Any
    ) -> StageResult:
        """Run the stage over a workspace; see `autolabel.stages.running.run_over`.

        What people said about labels is laid over those that it makes.
        """
        from autolabel.stages.corrected import refresh
        from autolabel.stages.running import run_over

        run = named(self.run_by) if self.run_by else partial(run_over, self)
        result: StageResult = run(workspace, config, engine, **options)
        if self.layer in machine_layers():
            refresh(workspace)
        return result

    def bound(self, workspace: Workspace, config: Config) -> Manifest:
        """Return what binds the layer that is asked for, but for its source.

        Raises:
            AutolabelError: there is no model, or the options do not fit the workspace.
        """
        if self.bound_by:
            manifest: Manifest = named(self.bound_by)(workspace, config)
            return manifest
        from autolabel.stages.running import binding, locate

        return binding(self, config, locate(self, config))

    def check(self, config: Config, pipeline: PipelineConfig) -> None:
        """See that the stage can begin, as far as that is known before a photo is looked at.

        Raises:
            AutolabelError: it cannot.
        """
        if self.checked_by:
            named(self.checked_by)(config, pipeline)

    def make(
        self, config: Config, ontology: Ontology, models: Mapping[str, Located], device: str
    ) -> Stage:
        """Make the stage, with its models loaded."""
        made: Stage = named(self.stage)(config, ontology, models, device)
        return made

    def timed(
        self, config: Config, ontology: Ontology, models: Mapping[str, Located], device: str
    ) -> Iterator[tuple[str, Stage]]:
        """Make what is timed of the stage, one after the other, each with its name."""
        if self.timed_by:
            yield from named(self.timed_by)(config, ontology, models, device)
        elif models:
            yield self.name, self.make(config, ontology, models, device)

    def models_of(self, config: Config) -> list[tuple[str, str, str]]:
        """Return (option, task, model) for every model that a config names."""
        return [
            (option, task, name)
            for option, task in self.models.items()
            if (name := getattr(config, option))
        ]

    def first_of(self, layers: Mapping[str, object] | set[str]) -> str | None:
        """Return which of some layers it works on by default."""
        return next((name for name in self.reads if name in layers), None)


_OWN = (
    StageEntry(
        "ingest",
        IngestConfig,
        layer="images",
        labels=False,
        run_by="autolabel.stages.ingest:ingest",
        bound_by="autolabel.stages.ingest:bound",
        checked_by="autolabel.stages.ingest:check",
    ),
    StageEntry(
        "detect",
        DetectConfig,
        "autolabel.stages.detect:Detect",
        reads=("images",),
        pixels=True,
        models={"model": "detector"},
        run_by="autolabel.stages.detect:detect",
        bound_by="autolabel.stages.detect:bound",
        checked_by="autolabel.stages.detect:check",
    ),
    StageEntry(
        "refine",
        RefineConfig,
        "autolabel.stages.refine:Refine",
        reads=("detect",),
        pixels=True,
        models={"model": "segmenter"},
        about="Turn the kept boxes, and those that people drew, into masks.",
        run_by="autolabel.stages.refine:refine",
    ),
    StageEntry(
        "filter",
        FilterConfig,
        reads=("refine", "detect"),
        models={"clip": "image-text", "dinov2": "image"},
        learns=True,
        run_by="autolabel.stages.filter:filter_labels",
        bound_by="autolabel.stages.filter:bound",
        checked_by="autolabel.stages.filter:check",
        timed_by="autolabel.stages.filter:embedders",
    ),
    StageEntry(
        "relabel",
        RelabelConfig,
        "autolabel.stages.relabel:Relabel",
        reads=("filter", "refine", "detect"),
        about="Rename, merge or drop classes of the labels, without detecting again.",
        run_by="autolabel.stages.relabel:relabel",
        checked_by="autolabel.stages.relabel:check",
    ),
)


def _wrong(name: str, found: StageEntry) -> str | None:
    if found.name != name:
        return f"it calls itself {found.name!r}"
    if not (found.stage or found.run_by) or not found.reads:
        return "it does not say what it runs, or what it reads"
    return None


STAGES: PluginTable[StageEntry] = PluginTable(
    "stage", GROUP, {entry.name: entry for entry in _OWN}, StageEntry, _wrong
)
"""Stage -> what it is, in the order in which a pipeline runs them."""


CORRECTIONS, REFINED, CORRECTED = PEOPLE = "corrections", "refine_corrections", "corrected"
"""Layers of what people said: their labels alone, the same with masks for the boxes that they drew,
and the machine's labels with people's over them; see `autolabel.stages.corrected`."""


def machine_layers() -> tuple[str, ...]:
    """Return the layers whose labels stages made, newest stage first."""
    return tuple(entry.layer for entry in [*STAGES.values()][::-1] if entry.labels)


def label_layers() -> tuple[str, ...]:
    """Return the layers with labels, the one to prefer first."""
    return (CORRECTED, *machine_layers())
