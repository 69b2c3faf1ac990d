"""Which labels a command reads: complete ones, or those that it was told to take all the same."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.stages.history import ontology_of
from autolabel.stages.running import check_ready
from autolabel.stages.table import label_layers
from autolabel.store import Layer, Workspace

Say = Callable[[str], None]
"""Called with a line for people."""


def quiet(line: str) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class ChosenLabels:
    """A layer of labels to read, as it was when reading began, and what of the photos it lacks.

    Attributes:
        layer: the labels.
        left_out_images: photos of the workspace that the layer does not have yet.
        stale_images: photos whose labels were made from what has changed since.
    """

    layer: Layer
    left_out_images: int = 0
    stale_images: int = 0

    @property
    def ontology(self) -> Ontology:
        """The classes that the labels come from.

        Raises:
            AutolabelError: the layer has no labels.
        """
        return ontology_of(self.layer)

    def counts(self) -> dict[str, int]:
        """Return the counts, for JSON."""
        return {"left_out_images": self.left_out_images, "stale_images": self.stale_images}


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
    layer = (workspace.require(name) if name else workspace.newest(label_layers())).snapshot()
    state = workspace.state(layer.name)
    if state.complete:
        return ChosenLabels(layer)
    if not allow_unfinished:
        try:
            check_ready(workspace, layer, flag)
        except AutolabelError as e:
            raise AutolabelError(e.message, hint=f"{e.hint}; or --allow-unfinished") from None
    whole = workspace.ancestry(layer)[-1]
    images = {index: layer.rows(index) for index in layer.shards()}
    left_out = sum(map(whole.rows, whole.shards())) - sum(images.values())
    stale = sum(images[index] for index in state.outdated & images.keys())
    found = ChosenLabels(layer, max(left_out, 0), stale)
    say(
        f"warning: {state.problem()}; {found.left_out_images} images are left out, the labels "
        f"of {found.stale_images} are stale"
    )
    return found
