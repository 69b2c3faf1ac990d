"""How a workspace stands: what `status` shows, and which layer a command takes."""

from __future__ import annotations

from typing import Any

from autolabel.cli import overview, show
from autolabel.cli.show_unseen import unseen as show_unseen
from autolabel.config import DetectConfig, EngineConfig
from autolabel.stages.corrected import corrections_by_action
from autolabel.stages.history import RELABEL
from autolabel.stages.ingest import IngestResult
from autolabel.stages.labels import classes_of
from autolabel.stages.running import StageResult
from autolabel.stages.table import label_layers
from autolabel.stages.unseen import look_again
from autolabel.store import LayerState, Workspace


def status_of(workspace: Workspace, *, errors: bool = False) -> dict[str, Any]:
    """Return the state of every layer, student and export, as JSON values.

    Args:
        workspace: to look at.
        errors: whether to name the files that failed.
    """
    layers = layers_of(workspace)
    shown: dict[str, Any] = {
        "workspace": str(workspace.path),
        "layers": layers,
        "photos": layers.get("images", {}).get("splits", {}),
        "classes": {},
        "corrections": corrections_by_action(workspace),
        "students": overview.students_of(workspace),
        "exports": overview.exports_known(workspace),
    }
    newest = next((name for name in label_layers() if name in layers), None)
    if newest is not None:
        shown |= {"labels": newest, "classes": layers[newest]["classes"]}
    if errors:
        shown["errors"] = overview.problems_of(workspace)
    return shown


def layers_of(workspace: Workspace) -> dict[str, Any]:
    """Return the state of every layer, as JSON values."""
    return {state.layer.name: _state(state) for state in workspace.states()}


def state_of_layer(workspace: Workspace, name: str) -> dict[str, Any]:
    """Return the state of one layer, as JSON values; its sources alone are looked at."""
    return _state(workspace.state(name))


def _state(state: LayerState) -> dict[str, Any]:
    manifest, counts = state.layer.manifest, state.layer.counts()
    shown = {
        "shards": state.shards,
        "missing_shards": state.missing,
        "stale_shards": state.stale,
        "stale": state.stale > 0,
        "complete": state.complete,
        "images": counts.images,
        "objects": counts.objects,
        "kept": counts.kept,
        "errors": counts.errors,
        "splits": dict(sorted(counts.splits.items())),
        "source": state.source,
        "settings": manifest.settings,
        "model": manifest.model,
        "version": manifest.version,
    }
    if state.layer.name in label_layers():
        shown["classes"] = overview.counts_by_class(state.layer)
    return shown


def detected(
    workspace: Workspace, done: StageResult, config: DetectConfig, engine: EngineConfig
) -> dict[str, float | None]:
    """Say what `detect` did, and of what it found nothing: class -> its highest score."""
    finished("detect", done, workspace)
    unseen = look_again(workspace, done.layer, config, engine) if done.images else None
    if unseen is None:
        return {}
    thresholds = {n: config.class_threshold.get(n, config.box_threshold) for n in unseen.highest}
    show_unseen(unseen, thresholds)
    return unseen.highest


def finished(stage: str, done: StageResult, workspace: Workspace) -> None:
    """Say what a stage did, and name the first files that failed in it."""
    show.stage_done(stage, done)
    if not done.images:
        return
    counts = done.layer.counts()
    if isinstance(done, IngestResult) and 2 * done.near_held_out > counts.images:
        show.message(
            f"warning: {done.near_held_out} of {counts.images} photos are near one of the "
            f"{done.held_out} held-out photos, as those of one camera are; figures will tell of "
            "that scene alone. --near-duplicates keep, group or drop says what becomes of them"
        )
    if stage == "filter" and counts.objects and not counts.kept:
        show.message(
            "warning: every label was rejected; what each rule does: "
            f"autolabel filter {workspace.path} --dry-run with the same options"
        )
    if stage == RELABEL:
        show.class_ids(classes_of(workspace, done.layer).names)
    if counts.errors:
        show.files_failed(overview.newly_failed(workspace, done.layer), workspace.path)


def models_known() -> list[dict[str, Any]]:
    """List every registered model: what it is, and what of it is on this machine."""
    from autolabel import registry
    from autolabel.registry import hub_cache

    rows = []
    for name, known in registry.registered().items():
        here = hub_cache.cached(known.hub_id, bare=bool(known.adapter))
        rows.append(
            {
                "name": name,
                "task": known.task,
                "hub_id": known.hub_id,
                "licence": known.licence,
                "parameters_millions": known.parameters_millions,
                "gated": known.gated,
                "source": registry.MODELS.source(name),
                "on_disk": here is not None,
                "size_bytes": here.size if here else None,
                "revision": here.commit if here else None,
            }
        )
    return rows
