"""Ingest: scan every file, then mark leaks, repeats and unsuitable pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from autolabel.config import EngineConfig, IngestConfig, PipelineConfig
from autolabel.engine.base import Stage
from autolabel.errors import AutolabelError
from autolabel.sources import find_images
from autolabel.stages import leak_guard as guard
from autolabel.stages.repeats import MarkRepeats, find_repeats
from autolabel.stages.running import Reporter, StageResult, run_stage, silent, tasks_from
from autolabel.stages.scan import outside_workspace, scan
from autolabel.store import Layer, Manifest, Workspace, bound_to


@dataclass(frozen=True)
class IngestResult(StageResult):
    """What `ingest` did.

    Attributes:
        ignored: files of other kinds that were left alone.
        gone: photos that were found deleted or replaced, and marked so.
        ours: images that were left alone because autolabel wrote them.
        held_out: held-out photos that are guarded.
        near_held_out: photos that are near one of them, and not made from it.
    """

    ignored: int = 0
    gone: int = 0
    ours: int = 0
    held_out: int = 0
    near_held_out: int = 0


def ingest(
    workspace: Workspace,
    config: IngestConfig,
    engine: EngineConfig,
    *,
    overwrite: bool = False,
    inherit: bool = False,
    report: Reporter = silent,
) -> IngestResult:
    """Turn files and folders into the layers `scan` (each by itself) and `images` (repeats marked).

    Args:
        workspace: made where it does not exist.
        config: sources and rules.
        engine: how it runs.
        overwrite: whether rules that differ from those of the workspace replace them.
        inherit: whether rules that `config` does not set are taken from the workspace.
        report: called when work begins.

    Raises:
        AutolabelError: a source is missing, or the rules differ.
    """
    if not config.source:
        raise AutolabelError("no images are named", hint="name files or folders to ingest")
    found = find_images(config.source, leave_ours=True)
    paths = outside_workspace(workspace, config.source, found.paths)
    with workspace.lock():
        if inherit:
            config = _inherited(workspace, config)
        scanned, images, gone = scan(workspace, paths, config, engine, overwrite, report)
        layer, held_out, near = _mark(workspace, scanned, config, engine, overwrite, report)
        return IngestResult(
            layer,
            images,
            ignored=found.ignored,
            gone=gone,
            ours=found.ours,
            held_out=held_out,
            near_held_out=near,
        )


def _inherited(workspace: Workspace, config: IngestConfig) -> IngestConfig:
    layer = workspace.layer("images")
    if not layer.exists:
        return config
    manifest = layer.manifest
    known = {k: v for k, v in manifest.settings.items() if k in IngestConfig.model_fields}
    known["holdout"] = tuple(manifest.origin.get("holdout", ()))
    return config.model_copy(
        update={k: v for k, v in known.items() if k not in config.model_fields_set}
    )


def _mark(
    workspace: Workspace,
    scan: Layer,
    config: IngestConfig,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
) -> tuple[Layer, int, int]:
    """Return the layer `images`, and how many photos are held out and how many near those."""
    held_out, asked = marking(config)
    asked = replace(asked, source_root=scan.manifest.source_root)
    manifest = bound_to(asked, scan)
    wanted = {index: scan.digest(index) for index in scan.shards()}
    workspace.plan_update("images", manifest, wanted, overwrite=overwrite)  # refuses before looking
    looked, near = None, 0
    if held_out.photos:
        root = Path(scan.manifest.source_root or "")
        layer = guard.look(workspace, scan, held_out, config.near_bits, root, engine, report=report)
        looked, near = guard.marks(layer, config.near_duplicates), guard.count_near(layer)
        wanted = {i: f"{digest}+{layer.digest(i)}" for i, digest in wanted.items()}
    update = workspace.plan_update("images", manifest, wanted, overwrite=overwrite)
    tasks = [
        replace(task, source_digest=wanted[task.index]) for task in tasks_from(scan, update.to_do)
    ]
    make: Callable[[], Stage] = partial(MarkRepeats, {}, min_side=0, max_aspect=0)
    if tasks:
        marks = find_repeats(scan.records(), near_bits=config.near_bits, held_out=looked)
        make = partial(MarkRepeats, marks, min_side=config.min_side, max_aspect=config.max_aspect)
    images = run_stage("images", make, update, tasks, engine, silent)
    return images, len(held_out.photos), near


def bound(workspace: Workspace, config: IngestConfig) -> Manifest:
    """Return what binds the layer `images` that is asked for.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    return replace(marking(config)[1], source={"layer": "scan"})


def check(config: IngestConfig, pipeline: PipelineConfig) -> None:
    """See that there are photos, and that the held-out ones can be read.

    Raises:
        AutolabelError: one of them is not.
    """
    find_images(config.source)
    marking(config)


def marking(config: IngestConfig) -> tuple[guard.HeldOutFiles, Manifest]:
    """Return the held-out photos, and what binds the layer `images` that is asked for.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    held_out = guard.HeldOutFiles.find(config.holdout)
    settings = config.settings()
    settings["holdout"] = held_out.key
    if not held_out.photos:
        del settings["near_duplicates"]  # means nothing without
    origin = {"holdout": [str(Path(p).resolve()) for p in config.holdout]}
    return held_out, Manifest(stage="ingest", settings=settings, origin=origin)
