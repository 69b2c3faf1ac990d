"""A trained student's view of the pool, against which labels are held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.errors import AutolabelError
from autolabel.evaluate.predictions import predict
from autolabel.evaluate.students import TrainedStudent, find_students
from autolabel.stages.history import ontology_of
from autolabel.stages.labels import Say, quiet
from autolabel.stages.running import Reporter, silent
from autolabel.store import STUDENT, Layer, Workspace
from autolabel.train.base import THRESHOLD
from autolabel.types import Objects

MOST_IMAGES = 5000
"""Images of a pool up to which a student is asked unbidden: a few minutes on a processor."""


@dataclass(frozen=True)
class StudentView:
    """What a student finds in the pool.

    It has mostly learned from these very photos and labels, so where it contradicts them all the
    same that means more than where it agrees.

    Attributes:
        layer: what it finds, as `autolabel.evaluate.predictions` makes it.
        threshold: the score from which it is sure.
    """

    layer: Layer
    threshold: float

    def of_shard(self, index: int) -> dict[str, Objects]:
        """Return image_id -> what it finds, of the images of one shard."""
        if index not in self.layer.shards():
            return {}
        return {record.image_id: record.objects for record in self.layer.read(index)}


def student_view(workspace: Workspace) -> StudentView | None:
    """Return what the newest student that looked at the pool finds in it; None where none did."""
    for student in _newest_first(workspace):
        layer = workspace.layer(f"{STUDENT}/{student.name}")
        if not layer.exists or (layer.manifest.model or {}).get("revision") != student.revision:
            continue
        if workspace.state(layer.name).complete:
            return StudentView(layer.snapshot(), _threshold(student))
    return None


def ask_student(
    workspace: Workspace,
    labels: Layer,
    engine: EngineConfig,
    *,
    report: Reporter = silent,
    say: Say = quiet,
    most_images: int = MOST_IMAGES,
) -> StudentView | None:
    """Let the newest student look at the pool, unless it did, there is none, or that takes long.

    Args:
        workspace: of the labels.
        labels: the layer whose classes it is asked for.
        engine: how it runs.
        report: called when work begins.
        say: called with why it was not asked.
        most_images: how many images of a pool it is asked for at most.

    Raises:
        AutolabelError: photos are gone, or it does not load.
    """
    seen = student_view(workspace)
    student = next(_newest_first(workspace), None)
    if seen is not None or student is None:
        return seen
    images = len(labels)
    if images > most_images:
        say(f"student {student.name} is not asked: {images} images take long")
        return None
    say(f"student {student.name} looks at {images} images")
    try:
        predict(workspace, student, ontology_of(labels), None, engine, report)
    except AutolabelError as e:
        say(f"student {student.name} is not asked: {e.message}")
        return None
    return student_view(workspace)


def _newest_first(workspace: Workspace) -> Iterator[TrainedStudent]:
    config = EvaluateConfig(truth=".")  # the students alone are of interest
    found = find_students(workspace, config, quiet)
    yield from sorted(found, key=lambda one: one.weights.stat().st_mtime_ns, reverse=True)


def _threshold(student: TrainedStudent) -> float:
    return THRESHOLD if student.threshold is None else student.threshold
