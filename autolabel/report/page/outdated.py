"""What the page shows although its labels have changed since, or are not complete."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from autolabel.metrics.result import Evaluation
from autolabel.report.results import Training, measured_in
from autolabel.stages.history import changes_elsewhere
from autolabel.store import Layer, Workspace
from autolabel.train.folder import UNFINISHED, labels_changed


def outdated(
    workspace: Workspace, layer: Layer, measured: Evaluation | None, trainings: Sequence[Training]
) -> Iterator[str]:
    """Yield a sentence for each thing that is out of date, and what to run.

    Args:
        workspace: has the layer.
        layer: the labels that the page is about.
        measured: the last evaluation, if there is one.
        trainings: the students.
    """
    if not workspace.state(layer.name).complete:
        yield f"The layer {layer.name}/ is unfinished or stale: run autolabel {layer.name} again."
    replay = measured_in(workspace, measured) if measured else None
    if replay is not None and replay.path != workspace.path.resolve():
        for changed in changes_elsewhere(workspace, layer, replay):
            yield (
                f"What was measured was labelled by other settings ({'; '.join(changed)}): "
                "run autolabel evaluate again."
            )
    for training in trainings:
        if training.run.get("layer") == layer.name and labels_changed(workspace, training.run):
            yield (
                f"The small detector {training.name} learned from labels that have changed since: "
                "run autolabel train again."
            )
        if training.run.get("state") == UNFINISHED:
            yield f"The training of {training.name} is unfinished: run autolabel train again."
