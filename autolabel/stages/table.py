"""The table of stages: what each of them is, said once.

A stage is a row here: the command line, `run`, its dry run and its checks, the replay on
hand-labelled photos, the speed measurement, `status`, the history and the report read it. To add a
stage, write its class, its options, and a row. What a row runs is named as `module:name` and
imported when it is needed, so that help loads neither numpy nor Arrow.

The class of a stage is made with its options, the ontology, the files of its models by option, and
a device; `autolabel.engine.base.Stage` is what it does.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from autolabel.config import Config, DetectConfig, FilterConfig, IngestConfig, RefineConfig


@dataclass(frozen=True)
class StageEntry:
    """What a stage is.

    Attributes:
        name: of its command, of its section in a pipeline file, and in the manifests of its layer.
        config: its options.
        run_by: `module:function` that runs it over a workspace.
        reads: layers that it works on by default, the most preferred one first; none where it
            reads files.
        layer: the layer that it makes; that of its name where this is empty.
        labels: whether that layer holds labels.
        models: option that names a model -> the task of that model.
    """

    name: str
    config: type[Config]
    run_by: str
    reads: tuple[str, ...] = ()
    layer: str = ""
    labels: bool = True
    models: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "layer", self.layer or self.name)

    def run(self, *args: Any, **options: Any) -> Any:
        """Run the stage over a workspace; a `StageResult`."""
        return _named(self.run_by)(*args, **options)

    def models_of(self, config: Config) -> list[tuple[str, str, str]]:
        """Return (option, task, model) for every model that a config names."""
        return [
            (option, task, name)
            for option, task in self.models.items()
            if (name := getattr(config, option))
        ]


STAGES: Mapping[str, StageEntry] = {
    entry.name: entry
    for entry in (
        StageEntry(
            "ingest",
            IngestConfig,
            run_by="autolabel.stages.ingest:ingest",
            layer="images",
            labels=False,
        ),
        StageEntry(
            "detect",
            DetectConfig,
            run_by="autolabel.stages.detect:detect",
            reads=("images",),
            models={"model": "detector"},
        ),
        StageEntry(
            "refine",
            RefineConfig,
            run_by="autolabel.stages.refine:refine",
            reads=("detect",),
            models={"model": "segmenter"},
        ),
        StageEntry(
            "filter",
            FilterConfig,
            run_by="autolabel.stages.filter:filter_labels",
            reads=("refine", "detect"),
            models={"clip": "image-text", "dinov2": "image"},
        ),
    )
}
"""Stage -> what it is, in the order in which a pipeline runs them."""


def label_layers() -> tuple[str, ...]:
    """Return the layers with labels, newest stage first."""
    return tuple(entry.layer for entry in reversed([*STAGES.values()]) if entry.labels)


def _named(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute)
