"""Students that can be had: loaded from a file, or found before a training begins."""

from __future__ import annotations

import importlib
from pathlib import Path

from autolabel.config import TrainConfig
from autolabel.errors import AutolabelError
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.train.base import THRESHOLD, Student
from autolabel.train.folder import BEST, read_run, threshold_of


def check_student(config: TrainConfig) -> None:
    """See that the student can be had, and that the trainer is installed.

    Raises:
        AutolabelError: one of them is not.
    """
    load_ultralytics()
    importlib.import_module("autolabel.train.yolo").find_start(config, True)


def load_student(reference: str | Path, device: str) -> Student:
    """Load a trained student from its ``.pt`` file or its folder; the file runs no code.

    Its operating threshold is the one in the ``run.json`` beside the file, else `THRESHOLD`.

    Raises:
        AutolabelError: it is not there, or holds something else.
    """
    path = Path(reference)
    weights = path / BEST if path.is_dir() else path
    if not weights.is_file():
        raise AutolabelError(
            f"there is no student in {weights}", hint="train one: autolabel train WS"
        )
    load_ultralytics()
    yolo = importlib.import_module("autolabel.train.yolo")
    run = read_run(weights.parent)
    threshold = threshold_of(run)
    student: Student = yolo.YoloStudent(
        weights,
        str(run.get("name") or weights.stem),
        device,
        THRESHOLD if threshold is None else threshold,
    )
    return student
