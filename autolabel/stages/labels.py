"""Which labels a command reads: complete ones, or those that it was told to take all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.stages.corrected import refresh
from autolabel.stages.history import ontology_of, renamings
from autolabel.stages.running import check_ready
from autolabel.stages.table import CORRECTED, label_layers, machine_layers
from autolabel.store import Layer, Workspace, locked_names

Say = Callable[[str], None]
"""Called with a line for people."""


def quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class ChosenLabels:
    """A layer of labels to read, as it was when reading began, and what of the photos it lacks.

    Attributes:
        workspace: where they are.
        layer: the labels.
        left_out_images: photos of the workspace that the layer does not have yet.
        stale_images: photos whose labels were made from what has changed since.
    """

    workspace: Workspace
    layer: Layer
    left_out_images: int = 0
    stale_images: int = 0

    @property
    def ontology(self) -> Ontology:
        """The classes of the labels; see `classes_of`."""
        return classes_of(self.workspace, self.layer)

    def counts(self) -> dict[str, int]:
        """Return the counts, for JSON."""
        return {"left_out_images": self.left_out_images, "stale_images": self.stale_images}


def classes_of(workspace: Workspace, layer: Layer) -> Ontology:
    """Return the classes of a layer's labels in the order of their ids.

    Those of the workspace that are no longer looked for are among them, without prompts. Where the
    layer comes from `relabel`, they are what that made of them.

    Raises:
        AutolabelError: the layer has no labels, or the workspace's ids are damaged.
    """
    names = locked_names(workspace)
    for before, changes in renamings(layer, names):
        later = [name for name in names if name not in before]
        names = tuple(dict.fromkeys((*changes.names, *later)))
    return ontology_of(layer).with_ids(names)


def with_corrections(workspace: Workspace, name: str) -> str:
    """Return the layer of a machine's labels with people's over them; that of the machine itself
    where people have said nothing.

    Raises:
        AutolabelError: what people said cannot be read, or nothing can be written.
    """
    layer = refresh(workspace)
    source = layer.manifest.source if layer else None
    return CORRECTED if source and source["layer"] == name else name


def chosen_labels(
    workspace: Workspace,
    name: str | None,
    *,
    allow_unfinished: bool = False,
    flag: str = "--from",
    say: Say = quiet,
) -> ChosenLabels:
    """Choose the layer of that name, or the newest with labels; it is complete, or say what not.

    Args:
        workspace: has labels.
        name: of the layer; None for the newest.
        allow_unfinished: whether one that is unfinished or stale will do.
        flag: the option that names another layer.
        say: called with what an unfinished layer lacks.

    Raises:
        AutolabelError: the layer is unfinished or stale and that is not allowed.
    """
    if name not in machine_layers():
        refresh(workspace)
    layer = (workspace.require(name) if name else workspace.newest(label_layers())).snapshot()
    state = workspace.state(layer.name)
    if state.complete:
        return ChosenLabels(workspace, layer)
    if not allow_unfinished:
        try:
            check_ready(workspace, layer, flag)
        except AutolabelError as e:
            raise AutolabelError(e.message, hint=f"{e.hint}; or --allow-unfinished") from None
    whole = workspace.ancestry(layer)[-1]
    images = {index: layer.rows(index) for index in layer.shards()}
    left_out = sum(map(whole.rows, whole.shards())) - sum(images.values())
    stale = sum(images[index] for index in state.outdated & images.keys())
    found = ChosenLabels(workspace, layer, max(left_out, 0), stale)
    say(
        f"warning: {state.problem()}; {found.left_out_images} images are left out, the labels "
        f"of {found.stale_images} are stale"
    )
    return found
