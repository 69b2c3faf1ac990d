"""Call classes otherwise, merge and drop them: a layer of labels from another, without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

from autolabel import registry
from autolabel.config import EngineConfig, PipelineConfig, RelabelConfig, class_changes
from autolabel.config.classes import ClassChanges
from autolabel.errors import UsageError
from autolabel.ontology import Ontology
from autolabel.ops.relabel import relabelled
from autolabel.stages.history import BEFORE, RELABEL
from autolabel.stages.labels import classes_of
from autolabel.stages.running import (
    Reporter,
    StageResult,
    binding,
    check_ready,
    derive,
    silent,
    source_of,
)
from autolabel.stages.table import STAGES
from autolabel.store import Workspace, locked_names
from autolabel.types import Record


class Relabel:
    """Labels by the new names of their classes.

    Args:
        config: which classes are renamed, merged and dropped.
        ontology: the classes of the labels.
        models: none.
        device: not used.

    Raises:
        UsageError: the options do not fit the classes.
    """

    def __init__(
        self,
        config: RelabelConfig,
        ontology: Ontology,
        models: Mapping[str, registry.Located],
        device: str,
    ) -> None:
        self.new = class_changes(config, ontology.names).new

    def wants(self, record: Record) -> bool:
        """Want images with labels."""
        return len(record.objects) > 0

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return the same objects in the same order by their new names; see `relabelled`."""
        return [replace(r, objects=relabelled(r.objects, self.new)) for r in batch]


def relabel(
    workspace: Workspace,
    config: RelabelConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> StageResult:
    """Make the layer `relabel`.

    Raises:
        AutolabelError: there are no labels, or the options differ from those of the layer.
        UsageError: the options do not fit the classes.
    """
    entry = STAGES[RELABEL]
    _refuse_nothing(config)
    source_of(entry, workspace, from_layer)
    with workspace.lock():
        source = source_of(entry, workspace, from_layer)
        classes = classes_of(workspace, source)
        changes = _changes(config, classes)
        check_ready(workspace, source)
        manifest = binding(entry, config, {})
        origin = {"ontology": changes.of(classes).to_mapping(), BEFORE: list(classes.names)}
        make = partial(entry.make, config, classes, {}, engine.device)
        return derive(
            workspace, entry.layer, source, replace(manifest, origin=origin), make,
            workspace.source_root, engine, overwrite, report,
        )  # fmt: skip


def check(config: RelabelConfig, pipeline: PipelineConfig) -> None:
    """See that the options fit the classes of a pipeline, and change any.

    Raises:
        UsageError: they do not.
    """
    _refuse_nothing(config)
    known = pipeline.detect.resolve_ontology().with_ids(locked_names(Workspace(pipeline.workspace)))
    _changes(config, known)


def _changes(config: RelabelConfig, classes: Ontology) -> ClassChanges:
    """Return what the options make of classes; a name means one class, before and after.

    People name classes before and after their labels are laid over this layer, and what they mean
    must not depend on when they said it.
    """
    changes = class_changes(config, classes.names)
    for old, new in changes.new.items():
        if new is not None and changes.new.get(new, new) != new:
            raise UsageError(
                f"{old!r} cannot be called {new!r}, which another class is called before",
                hint="choose a name of its own, or rename them as they leave: autolabel export "
                f'--rename "{old}={new}" …',
            )
    return changes


def _refuse_nothing(config: RelabelConfig) -> None:
    if not (config.rename or config.merge or config.drop):
        raise UsageError(
            "relabel is told to change no class",
            hint='add --rename OLD=NEW, --merge "A,B=NEW" or --drop CLASS; labels as they were are '
            "still in the layer before, which --from names",
        )
