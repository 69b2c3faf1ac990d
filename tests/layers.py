"""Layers that a test writes by hand, whatever their shards are made of."""

from __future__ import annotations

from autolabel.store import Layer, Manifest, Workspace
from autolabel.store.update import plan_update, swap_of


def begin(home: Workspace, name: str, manifest: Manifest, *, overwrite: bool = True) -> Layer:
    """The layer that is there, or where settings differ its hidden successor; then `finish` it."""
    final = home.layer(name)
    fresh = Layer(swap_of(final).next, name)
    layer = fresh if final.exists and final.manifest.changes_to(manifest) else final
    wanted = {index: layer.source_digest(index) for index in layer.shards()}
    return plan_update(final, manifest, wanted, overwrite=overwrite).begin()


def finish(home: Workspace, layer: Layer) -> Layer:
    """Put a complete hidden successor in the place of the layer that it replaces."""
    final = home.layer(layer.name)
    layer.note_shards()
    if layer.path != final.path:
        swap_of(final).publish()
    return final
