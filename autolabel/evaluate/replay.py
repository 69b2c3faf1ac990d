"""Replay: held-out photos are labelled as the pool was, in a workspace of their own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autolabel.config import EngineConfig, IngestConfig
from autolabel.stages.history import manifests_of, options_of
from autolabel.stages.ingest import ingest
from autolabel.stages.leak_guard import content_key
from autolabel.stages.running import Reporter, silent
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace, lock_names, locked_names


def replay(
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
    home = Workspace(workspace.path / "evaluate" / content_key(photos)[:12])
    source = IngestConfig(source=tuple(map(str, photos)), near_bits=-1)
    made = ingest(home, source, engine).layer
    with home.lock():
        lock_names(home, locked_names(workspace))  # `relabel` may name any of them
    for manifest in reversed(manifests_of(layer)):
        entry = STAGES.get(manifest.stage)
        if entry is None or not entry.reads:
            continue
        learned = {"learned_from": workspace} if entry.learns else {}
        made = entry.run(
            home, options_of(manifest), engine,
            from_layer=made.name, overwrite=True, report=report, **learned,
        ).layer  # fmt: skip
    return made
