"""The labels of a workspace by photo, as they are at the moment of asking."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from autolabel.serving.photos import Photos
from autolabel.stages.labels import chosen_labels
from autolabel.store import Layer, Rows, Workspace
from autolabel.types import Record

Say = Callable[[str], None]


class Labels:
    """The newest labels of a workspace.

    Args:
        workspace: has labels.
        name: of the layer; None for the newest at each time.
        roots: folders that photos may lie in which are not in the workspace.

    Attributes:
        layer: that was read last.
        version: of its content; another one whenever a label changed.
        ontology: the classes of the labels.
        classes: those of them that have labels.
        photos: of the layer.

    Raises:
        AutolabelError: there are no labels, or they are unfinished.
    """

    def __init__(self, workspace: Workspace, name: str | None, roots: Sequence[Path] = ()) -> None:
        self.workspace, self.name, self.roots = workspace, name, roots
        self.version = ""
        self.refresh()

    def refresh(self) -> None:
        """Read the newest labels, where they are not those that were read."""
        chosen = chosen_labels(self.workspace, self.name)
        layer = chosen.layer
        version = layer.fingerprint()[:12]
        if version != self.version:
            self.layer, self.version, self.ontology = layer, version, chosen.ontology
            self._index(layer)

    def _index(self, layer: Layer) -> None:
        self._rows = Rows(layer)
        uris: dict[str, str] = {}
        for index in layer.shards():
            rows = layer.table(index, ["image_id", "uri"]).to_pydict()
            for image_id, uri in zip(rows["image_id"], rows["uri"], strict=True):
                uris.setdefault(image_id, uri)
        self.photos = Photos(uris, self.workspace.source_root, self.roots)
        self.classes = tuple(name for name, (kept, _) in sorted(layer.classes().items()) if kept)

    def record(self, image_id: str) -> Record:
        """Return a photo with its labels.

        Raises:
            KeyError: there is no such photo.
        """
        return self._rows.record(image_id)
