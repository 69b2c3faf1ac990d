"""Held-out photos are labelled as the pool was, in a workspace beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autolabel.config import (
    DetectConfig,
    EngineConfig,
    FilterConfig,
    IngestConfig,
    RefineConfig,
    build,
)
from autolabel.stages import filter as filtering
from autolabel.stages.detect import detect
from autolabel.stages.filter.fit import TASKS
from autolabel.stages.history import check_model, manifests_of, replayed
from autolabel.stages.ingest import ingest
from autolabel.stages.leak_guard import content_key
from autolabel.stages.refine import refine
from autolabel.stages.running import Reporter, silent
from autolabel.store import Layer, Manifest, Workspace


def label_truth(
    workspace: Workspace,
    layer: Layer,
    photos: Sequence[Path],
    engine: EngineConfig,
    *,
    report: Reporter = silent,
) -> Layer:
    """Label hand-labelled photos as `layer` was labelled, stage by stage in the same order.

    The photos stay out of the pool: their labels live under ``evaluate/`` and nothing learns from
    them; where a stage learned from the pool, what it learned there is used.

    Raises:
        AutolabelError: a model that made the layer is no longer to be found, or has changed.
    """
    key = content_key(photos)[:12]
    beside = Workspace(workspace.path / "evaluate" / key)
    source = IngestConfig(source=tuple(map(str, photos)), near_bits=-1)
    made = ingest(beside, source, engine).layer
    again = _Again(beside, workspace, engine, report)
    for manifest in reversed(manifests_of(layer)):
        if manifest.stage in _REPLAY:
            made = _REPLAY[manifest.stage](again, manifest, made.name)
    return made


@dataclass(frozen=True)
class _Again:
    beside: Workspace
    pool: Workspace
    engine: EngineConfig
    report: Reporter


def _detect(again: _Again, manifest: Manifest, source: str) -> Layer:
    config = build(DetectConfig, replayed("detector", manifest), flags=False)
    return detect(again.beside, config, again.engine, overwrite=True, report=again.report).layer


def _refine(again: _Again, manifest: Manifest, source: str) -> Layer:
    config = build(RefineConfig, replayed("segmenter", manifest), flags=False)
    return refine(
        again.beside, config, again.engine, from_layer=source, overwrite=True, report=again.report
    ).layer


def _filter(again: _Again, manifest: Manifest, source: str) -> Layer:
    config = filter_config(manifest)
    return filtering.filter_labels(
        again.beside, config, again.engine,
        from_layer=source, overwrite=True, report=again.report, learned_from=again.pool,
    ).layer  # fmt: skip


_REPLAY: Mapping[str, Callable[[_Again, Manifest, str], Layer]] = {
    "detect": _detect,
    "refine": _refine,
    "filter": _filter,
}


def filter_config(manifest: Manifest) -> FilterConfig:
    """The rules that made a layer, with its models where they are now.

    Raises:
        AutolabelError: a model is no longer to be found, or has changed.
    """
    known = {k: v for k, v in manifest.settings.items() if k in FilterConfig.model_fields}
    names = {k: v for k, v in manifest.origin.items() if k in FilterConfig.model_fields}
    config = build(FilterConfig, {**known, **names}, flags=False)
    for name, task in TASKS.items():
        recorded = (manifest.model or {}).get(name, "").partition(" ")[2]
        if at := getattr(config, name):
            check_model(task, at, recorded, "filter")
    return config
