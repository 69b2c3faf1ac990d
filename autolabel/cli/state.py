"""How a workspace stands: what `status` shows, and which layer a command takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from autolabel.cli import overview, show
from autolabel.cli.show_unseen import unseen as show_unseen
from autolabel.config import DetectConfig, EngineConfig
from autolabel.errors import AutolabelError
from autolabel.stages.ingest import IngestResult
from autolabel.stages.running import StageResult, check_ready
from autolabel.stages.table import label_layers
from autolabel.stages.unseen import look_again
from autolabel.store import Layer, Workspace


def status_of(workspace: Workspace, *, errors: bool = False) -> dict[str, Any]:
    """The state of every layer, student and export, as JSON values.

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
    """The state of every layer, as JSON values."""
    layers: dict[str, Any] = {}
    for state in workspace.states():
        manifest, counts = state.layer.manifest, state.layer.counts()
        layers[state.layer.name] = {
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
            layers[state.layer.name]["classes"] = overview.classes_of(state.layer)
    return layers


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
    if counts.errors:
        show.files_failed(overview.newly_failed(workspace, done.layer), workspace.path)


@dataclass(frozen=True)
class Labels:
    """A layer of labels to read, as it was when reading began, and what of the photos it lacks.

    Attributes:
        layer: the labels.
        left_out_images: photos of the workspace that the layer does not have yet.
        stale_images: photos whose labels were made from what has changed since.
    """

    layer: Layer
    left_out_images: int = 0
    stale_images: int = 0

    def counts(self) -> dict[str, int]:
        """The counts, for JSON."""
        return {"left_out_images": self.left_out_images, "stale_images": self.stale_images}


def labels(
    workspace: Workspace,
    name: str | None,
    *,
    allow_unfinished: bool,
    flag: str = "--from",
    quiet: bool = False,
) -> Labels:
    """The layer of that name, or the newest with labels; it is complete, or it is said what not.

    Args:
        workspace: has labels.
        name: of the layer; None for the newest.
        allow_unfinished: whether one that is unfinished or stale will do.
        flag: the option that names another layer.
        quiet: whether to say nothing.

    Raises:
        AutolabelError: the layer is unfinished or stale and that is not allowed.
    """
    layer = (workspace.require(name) if name else workspace.newest(label_layers())).snapshot()
    state = workspace.state(layer.name)
    if state.complete:
        return Labels(layer)
    if not allow_unfinished:
        try:
            check_ready(workspace, layer, flag)
        except AutolabelError as e:
            raise AutolabelError(e.message, hint=f"{e.hint}; or --allow-unfinished") from None
    whole = workspace.ancestry(layer)[-1]
    images = {index: layer.rows(index) for index in layer.shards()}
    left_out = sum(map(whole.rows, whole.shards())) - sum(images.values())
    stale = sum(images[index] for index in state.outdated & images.keys())
    found = Labels(layer, max(left_out, 0), stale)
    if not quiet:
        show.message(
            f"warning: {state.problem()}; {found.left_out_images} images are left out, the labels "
            f"of {found.stale_images} are stale"
        )
    return found


def models_known() -> list[dict[str, Any]]:
    """Every registered model: what it is, and what of it is on this machine."""
    from autolabel import registry
    from autolabel.registry import hub

    rows = []
    for name, known in registry.registered().items():
        here = hub.cached(known.hub_id, bare=bool(known.adapter))
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
