"""One stage over one workspace: what is bound, what is left to do, and the engine that does it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from autolabel import registry
from autolabel.config import DetectConfig, EngineConfig, IngestConfig, RefineConfig
from autolabel.engine import local
from autolabel.engine.base import Stage, Task
from autolabel.errors import AutolabelError, UsageError
from autolabel.ontology import Ontology
from autolabel.sources import common_root, find_images, from_uri, to_uri
from autolabel.stages import leak_guard as guard
from autolabel.stages.detect import Detect
from autolabel.stages.ingest import MarkRepeats, Scan, find_repeats
from autolabel.stages.leak_guard import content_key
from autolabel.stages.present import Photos
from autolabel.stages.refine import Refine
from autolabel.stages.running import (
    ENGINES,
    LABELS,
    Done,
    Reporter,
    check_ready,
    derive,
    run_stage,
    silent,
    tasks_from,
)
from autolabel.store import Layer, Manifest, Workspace, bound_to, write_atomic
from autolabel.store.validate import outside
from autolabel.types import Record

__all__ = [
    "ENGINES", "LABELS", "Done", "Reporter", "check_model", "check_ready", "content_key", "derive",
    "detect", "detection", "existing_root", "history", "ingest", "marking", "new_photos",
    "ontology_of", "refine", "refinement", "replayed", "run_stage", "scanned", "silent",
    "tasks_from",
]  # fmt: skip

MOST_RETOLD = 20
"""Sources that the manifest keeps, to name the command that goes on."""

# -- ingest -----------------------------------------------------------------------------------


def ingest(
    workspace: Workspace,
    config: IngestConfig,
    engine: EngineConfig,
    *,
    overwrite: bool = False,
    inherit: bool = False,
    report: Reporter = silent,
) -> Done:
    """Files and folders to the layers `scan` (each file by itself) and `images` (repeats marked).

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
    paths = _outside(workspace, config.source, found.paths)
    with workspace.lock():
        if inherit:
            config = _inherited(workspace, config)
        scan, images, gone = _scan(workspace, paths, config, engine, overwrite, report)
        layer, held_out, near = _mark(workspace, scan, config, engine, overwrite, report)
        return Done(
            layer, images, found.ignored, gone, found.ours, held_out=held_out, near_held_out=near
        )


def _outside(workspace: Workspace, source: Sequence[str], found: Sequence[Path]) -> list[Path]:
    """The images that are not the workspace's own, as exports are where a source holds it.

    Raises:
        UsageError: the photos themselves lie in the workspace.
    """
    inside = workspace.path.resolve()
    paths = [p for p in found if not p.parent.resolve().is_relative_to(inside)]
    within = [s for s in source if Path(s).exists() and Path(s).resolve().is_relative_to(inside)]
    if within or not paths:
        named = within[0] if within else ", ".join(source)
        raise UsageError(
            f"{named} lies in the workspace {workspace.path} itself",
            hint="name another folder for the workspace, beside the photos or below them: "
            f"--workspace {inside.with_name(f'{inside.name}-labels')}",
        )
    return paths


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


def _scan(
    workspace: Workspace,
    paths: Sequence[Path],
    config: IngestConfig,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
) -> tuple[Layer, int, int]:
    layer = workspace.layer("scan")
    manifest = Manifest(stage="scan", settings={"image_id": "sha256", "phash": "dct64"})
    root = Path(layer.manifest.source_root or "") if layer.exists else common_root(paths)
    allowed = outside(paths, root, workspace.path)
    if layer.exists and layer.manifest.origin != layer.manifest.origin | allowed:
        layer.write_manifest(replace(layer.manifest, origin=layer.manifest.origin | allowed))
    photos = Photos(layer, root)
    if layer.exists and overwrite and layer.manifest.binding() != manifest.binding():
        paths = list(dict.fromkeys([*(from_uri(uri, root) for uri in photos.known), *paths]))
        photos.known = {}
    uris = [to_uri(path, root) for path in paths if photos.is_new(path)]
    chunks = [uris[i : i + config.shard_size] for i in range(0, len(uris), config.shard_size)]
    have = set(layer.shards()) if photos.known else set()
    free = (i for i in range(len(have) + len(chunks)) if i not in have)
    tasks = [
        Task(index, len(chunk), partial(_unread, chunk))
        for index, chunk in zip(free, chunks, strict=False)
    ]
    origin = {"source": _retold(config.source), **allowed}
    manifest = replace(
        manifest, source_root=str(root), shards=len(have) + len(tasks), origin=origin
    )
    wanted = dict.fromkeys([*have, *(task.index for task in tasks)], "")
    update = workspace.plan_update(
        "scan",
        manifest,
        wanted,
        overwrite=overwrite,
        redo=lambda layer, fitting: set(fitting) - have,
    )
    layer = run_stage("scan", partial(Scan, root), update, tasks, engine, report, "ingest")
    folders = [Path(os.path.abspath(s)) for s in config.source if Path(s).is_dir()]  # noqa: PTH100
    gone = photos.settle(layer, folders if config.prune else [])
    photos.save(layer)
    layer.note_shards()
    return layer, len(uris), gone


def _retold(source: Sequence[str]) -> list[str]:
    """What was ingested, to say it again; nothing where that cannot be said in a line."""
    if "-" in source or len(source) > MOST_RETOLD:
        return []
    return [str(Path(one).resolve()) for one in source]


def _unread(uris: Iterable[str]) -> list[Record]:
    return [Record("", uri) for uri in uris]


def _mark(
    workspace: Workspace,
    scan: Layer,
    config: IngestConfig,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
) -> tuple[Layer, int, int]:
    """The layer `images`, and how many photos are held out and how many are near those."""
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


def marking(config: IngestConfig) -> tuple[guard.HeldOut, Manifest]:
    """The held-out photos, and what binds the layer `images` that is asked for.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    held_out = guard.HeldOut.find(config.holdout)
    settings = config.settings()
    settings["holdout"] = held_out.key
    if not held_out.photos:
        del settings["near_duplicates"]  # means nothing without
    origin = {"holdout": [str(Path(p).resolve()) for p in config.holdout]}
    return held_out, Manifest(stage="ingest", settings=settings, origin=origin)


def new_photos(workspace: Workspace, config: IngestConfig) -> int:
    """How many photos `ingest` would read.

    Raises:
        AutolabelError: a source is missing.
    """
    layer = workspace.layer("scan")
    paths = _outside(workspace, config.source, find_images(config.source).paths)
    root = Path(layer.manifest.source_root or "") if layer.exists else common_root(paths)
    photos = Photos(layer, root)
    return sum(map(photos.is_new, paths))


def scanned(paths: Sequence[Path], workers: int = 0) -> list[Record]:
    """What `Scan.held_out` sees in photos, for `find_repeats`; 0 is one worker for each core."""
    scan = Scan(Path("/"))
    records = [Record("", to_uri(path, Path("/"))) for path in paths]
    with ThreadPoolExecutor(workers or local.cores()) as pool:
        return [seen for turned in pool.map(scan.held_out, records) for seen in turned]


# -- detect -----------------------------------------------------------------------------------


def detect(
    workspace: Workspace,
    config: DetectConfig,
    engine: EngineConfig,
    *,
    from_layer: str = "images",
    overwrite: bool = False,
    report: Reporter = silent,
) -> Done:
    """Text prompts to boxes: the layer `detect`.

    Without prompts, the ontology that the workspace stores is used.

    Raises:
        AutolabelError: there is no model or source layer, or the settings differ.
    """
    workspace.require(from_layer)
    with workspace.lock():
        source = workspace.require(from_layer)
        check_ready(workspace, source)
        ontology, located, manifest = detection(workspace, config)
        root = existing_root(workspace)
        make = partial(Detect, config, ontology, located, root, engine.device)
        done = derive(workspace, "detect", source, manifest, make, root, engine, overwrite, report)
        text = yaml.safe_dump(ontology.to_mapping(), sort_keys=False, allow_unicode=True)
        write_atomic(workspace.path / "ontology.yaml", text.encode())
        return done


def detection(
    workspace: Workspace, config: DetectConfig
) -> tuple[Ontology, registry.Located, Manifest]:
    """The classes, the model and what binds the layer `detect` that is asked for.

    Raises:
        AutolabelError: there is no model, or there are no prompts.
    """
    ontology = _ontology(workspace, config)
    located = registry.locate("detector", config.model)
    manifest = Manifest(
        stage="detect",
        settings={**config.settings(), "ontology": ontology.to_mapping()},
        model=located.identity(),
        origin={"model": located.reference()},
    )
    return ontology, located, manifest


def _ontology(workspace: Workspace, config: DetectConfig) -> Ontology:
    stored = workspace.path / "ontology.yaml"
    if not config.prompt and config.ontology is None and stored.is_file():
        config = config.model_copy(update={"ontology": str(stored)})
    ontology = config.resolve_ontology()
    if workspace.layer("detect").exists:
        return ontology.ordered_like(ontology_of(workspace.layer("detect")))
    return ontology


def ontology_of(layer: Layer) -> Ontology:
    """The ontology that a layer's labels come from, by way of the layers that it was made from.

    Raises:
        AutolabelError: the layer has no labels.
    """
    manifest = layer.manifest
    while (found := manifest.settings.get("ontology") or manifest.origin.get("ontology")) is None:
        if manifest.source is None:
            raise AutolabelError(
                f"{layer.name}/ has no labels", hint=f"use --from with one of: {', '.join(LABELS)}"
            )
        manifest = Layer(layer.path.parent / manifest.source["layer"], "").manifest
    return Ontology.from_mapping(found)


def existing_root(workspace: Workspace) -> Path:
    """The folder of the images.

    Raises:
        AutolabelError: it is not there any more.
    """
    root = workspace.source_root
    if not root.is_dir():
        raise AutolabelError(
            f"the images' folder {root} is not there", hint="say where it is now: --source-root DIR"
        )
    return root


def refine(
    workspace: Workspace,
    config: RefineConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
) -> Done:
    """Boxes to masks: the layer `refine`, by default of what `detect` found.

    Raises:
        AutolabelError: there is no model or no layer with labels, or the settings differ.
    """
    workspace.require(from_layer or "detect")
    with workspace.lock():
        source = workspace.require(from_layer or "detect")
        ontology = ontology_of(source)  # a layer without labels has no boxes
        check_ready(workspace, source)
        located, manifest = refinement(config)
        origin = {**manifest.origin, "ontology": ontology.to_mapping()}
        manifest = replace(manifest, origin=origin)
        root = existing_root(workspace)
        make = partial(Refine, config, located, root, engine.device)
        return derive(workspace, "refine", source, manifest, make, root, engine, overwrite, report)


def refinement(config: RefineConfig) -> tuple[registry.Located, Manifest]:
    """The model and what binds the layer `refine` that is asked for.

    Raises:
        AutolabelError: there is no model.
    """
    located = registry.locate("segmenter", config.model)
    manifest = Manifest(
        stage="refine",
        settings=config.settings(),
        model=located.identity(),
        origin={"model": located.reference()},
    )
    return located, manifest


def history(layer: Layer) -> list[Manifest]:
    """The manifests of a layer and of those that it was made from, the newest first."""
    made_by: list[Manifest] = []
    source: str | None = layer.name
    while source is not None:
        manifest = Layer(layer.path.parent / source, source).manifest
        made_by.append(manifest)
        source = manifest.source["layer"] if manifest.source else None
    return made_by


def replayed(task: str, manifest: Manifest) -> dict[str, Any]:
    """The settings of a layer and the place of its model, to do the same again.

    Raises:
        AutolabelError: the model is no longer to be found, or has changed.
    """
    reference = manifest.origin.get("model")
    if not reference:
        raise AutolabelError(
            f"the manifest of {manifest.stage}/ does not say which model made it",
            hint=f"run autolabel {manifest.stage} with --overwrite first",
        )
    check_model(task, reference, (manifest.model or {}).get("revision", ""), manifest.stage)
    return {**manifest.settings, "model": reference}


def check_model(task: str, reference: str, revision: str, stage: str) -> None:
    """See that a model is still the one that made a layer.

    Raises:
        AutolabelError: it is no longer to be found, or has changed.
    """
    located = registry.locate(task, reference)
    if located.revision != revision:
        raise AutolabelError(
            f"the model in {located.path} is not the one that made {stage}/ any more",
            hint=f"run autolabel {stage} with --overwrite first",
        )
