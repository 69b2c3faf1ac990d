"""What `status` shows."""

from __future__ import annotations

from typing import Any

from autolabel.store import Workspace


def status_of(workspace: Workspace) -> dict[str, Any]:
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
    return {"workspace": str(workspace.path), "layers": layers}
