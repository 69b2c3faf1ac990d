"""Running a stage over a workspace: a source that is ready, what is left to do, and the engine."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autolabel import registry
from autolabel.config import Config, EngineConfig
from autolabel.engine.base import Progress, Stage, Task
from autolabel.engine.journal import clear
from autolabel.errors import AutolabelError, UsageError
from autolabel.stages.history import finishing, ontology_of
from autolabel.stages.table import PEOPLE, StageEntry, label_layers
from autolabel.stages.unread import Unread, check_photos
from autolabel.store import Layer, LayerUpdate, Manifest, Workspace, bound_to

ENGINES = {"local": "autolabel.engine.local", "ray": "autolabel.engine.ray"}
"""Engine -> module whose `run` it is."""

Reporter = Callable[[str, int], Progress]
"""(stage name, images to do) -> a progress to update."""


@dataclass(frozen=True)
class StageResult:
    """What one stage did.

    Attributes:
        layer: the layer that it made or found complete.
        images: how many images it worked on; 0 means that there was nothing to do.
        unread: images that it could not read, which the same command tries again.
    """

    layer: Layer
    images: int
    unread: int = 0


def silent(stage: str, images: int) -> Progress:
    """Return a progress that nobody watches."""
    return Progress()


def existing_root(workspace: Workspace) -> Path:
    """Return the folder of the images.

    Raises:
        AutolabelError: it is not there any more.
    """
    root = workspace.source_root
    if not root.is_dir():
        raise AutolabelError(
            f"the images' folder {root} is not there", hint="say where it is now: --source-root DIR"
        )
    return root


def check_ready(workspace: Workspace, layer: Layer, flag: str = "--from") -> None:
    """See that a layer is complete and up to date, and so is what it was made from.

    Args:
        workspace: that of the layer.
        layer: to be read.
        flag: the option that names another one.

    Raises:
        AutolabelError: it is not.
    """
    problem = workspace.state(layer.name).problem()
    if problem is not None:
        before = [one.name for one in workspace.ancestry(layer)[1:] if one.name in label_layers()]
        others = [name for name in before if workspace.state(name).complete]
        other = f"; or take another layer: {flag} {others[0]}" if others else ""
        raise AutolabelError(problem, hint=f"run {finishing(workspace, layer)}{other}")


def tasks_from(source: Layer, indices: Iterable[int]) -> list[Task]:
    """Shards of `source` to be done."""
    return [Task(i, source.rows(i), partial(source.read, i), source.digest(i)) for i in indices]


def source_of(entry: StageEntry, workspace: Workspace, name: str | None) -> Layer:
    """Return the layer that a stage works on: that of the name, else the one it likes best.

    Raises:
        AutolabelError: there is none.
        UsageError: it is the stage's own, was made from that, or holds people's labels.
    """
    hint = f"use --from {' or '.join(entry.reads)}"
    if name in PEOPLE:
        raise UsageError(
            f"{name}/ holds people's labels, which are laid over those of {entry.layer}/ anyway",
            hint=hint,
        )
    if name == entry.layer:
        raise UsageError(f"{name}/ cannot be made from itself", hint=hint)
    if name is None and len(entry.reads) > 1:
        return workspace.newest(entry.reads)
    layer = workspace.require(name or entry.reads[0])
    if entry.layer in [one.name for one in workspace.ancestry(layer)]:
        raise UsageError(
            f"{layer.name}/ was made from {entry.layer}/, which cannot be made from it", hint=hint
        )
    return layer


def locate(entry: StageEntry, config: Config) -> dict[str, registry.Located]:
    """Return option -> files, for every model that a config names.

    Raises:
        AutolabelError: one is not found.
    """
    return {option: registry.locate(task, name) for option, task, name in entry.models_of(config)}


def binding(entry: StageEntry, config: Config, models: Mapping[str, registry.Located]) -> Manifest:
    """Return what binds the layer of a stage to its options and models."""
    model: dict[str, str] | None = {n: f"{at.name} {at.revision}" for n, at in models.items()}
    if list(entry.models) == ["model"]:
        model = models["model"].identity()
    return Manifest(
        stage=entry.name,
        settings=config.settings(),
        model=model or None,
        origin={option: at.reference() for option, at in models.items()},
    )


def run_over(
    entry: StageEntry,
    workspace: Workspace,
    config: Config,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> StageResult:
    """Run a stage over a workspace that maps the records of a layer, and learns nothing from them.

    Args:
        entry: the stage.
        workspace: has what it works on.
        config: its options.
        engine: how it runs.
        from_layer: what it works on; by default as its entry says.
        overwrite: whether settings that differ from those of the layer replace them.
        report: called when work begins.

    Raises:
        AutolabelError: there is no model or source layer, or the settings differ.
    """
    source_of(entry, workspace, from_layer)
    with workspace.lock():
        source = source_of(entry, workspace, from_layer)
        ontology = ontology_of(source)  # a layer without labels has nothing to work on
        check_ready(workspace, source)
        models = locate(entry, config)
        manifest = binding(entry, config, models)
        origin = {**manifest.origin, "ontology": ontology.to_mapping()}
        root = existing_root(workspace) if entry.pixels else workspace.source_root
        make = partial(entry.make, config, ontology, models, engine.device)
        return derive(
            workspace, entry.layer, source, replace(manifest, origin=origin), make, root, engine,
            overwrite, report, pixels=entry.pixels,
        )  # fmt: skip


def derive(
    workspace: Workspace,
    name: str,
    source: Layer,
    manifest: Manifest,
    make_stage: Callable[[], Stage],
    root: Path,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
    *,
    pixels: bool = False,
    on_trial: bool = False,
) -> StageResult:
    """Make a layer from another by a stage that needs nothing but the records; holds no lock.

    Args:
        workspace: where the layer goes.
        name: of the layer.
        source: complete and up to date.
        manifest: of the layer; what it is bound to of the source is filled in.
        make_stage: loads what it needs.
        root: folder of the photos.
        engine: how it runs.
        overwrite: whether settings that differ from those of the layer replace them.
        report: called when work begins.
        pixels: whether the stage needs those of its records.
        on_trial: see `LayerUpdate`.

    Raises:
        AutolabelError: the settings differ, the stage cannot be made, photos are gone, or some
            shards could not be done.
    """
    unread = Unread(source, root)
    wanted = {index: source.digest(index) for index in source.shards()}
    update = workspace.plan_update(
        name, bound_to(manifest, source), wanted, overwrite=overwrite, redo=unread.again
    )
    update.on_trial = on_trial
    tasks = [
        unread.task(update.final, task.index) if task.index in update.redone else task
        for task in tasks_from(source, update.to_do)
    ]
    if pixels:
        check_photos(source, update.to_do, root)
    photos = root if pixels else None
    layer = run_stage(name, make_stage, update, tasks, engine, report, photos=photos)
    return StageResult(layer, sum(task.images for task in tasks), unread=unread.count(layer))


def run_stage(
    name: str,
    make_stage: Callable[[], Stage],
    update: LayerUpdate,
    tasks: Sequence[Task],
    engine: EngineConfig,
    report: Reporter,
    title: str = "",
    *,
    photos: Path | None = None,
) -> Layer:
    """Run the engine over what an update lacks; the complete layer.

    No stage is made where there is nothing to do, and nothing is written before it is made.
    """
    if not tasks:
        clear(update.begin())  # a kill may have come between a shard and the end of its journal
        return update.finish()
    progress = report(title or name, sum(task.images for task in tasks))
    try:
        importlib.import_module(ENGINES[engine.engine]).run(
            make_stage,
            update.begin,
            tasks,
            progress,
            batch_size=engine.batch_size,
            workers=engine.workers,
            photos=photos,
        )
    except BaseException:
        update.note()
        raise
    return update.finish()
