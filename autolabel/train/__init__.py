"""A small student, trained on the kept labels of a layer.

The trainer is ultralytics (AGPL-3.0), behind the `Student` protocol of `autolabel.train.base`.
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from typing import Any

from autolabel.config import EngineConfig, TrainConfig
from autolabel.datasets.task import choose_task
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.ontology import Ontology
from autolabel.stages.running import Reporter, existing_root, silent
from autolabel.store import Layer, Workspace, not_writable
from autolabel.train.base import Student
from autolabel.train.choose import choose
from autolabel.train.dataset import require_labels, write_dataset
from autolabel.train.fit import fit
from autolabel.train.folder import DATASET, begin, finish, held, is_complete, read_run, settle, tidy
from autolabel.train.job import LICENCE, Job
from autolabel.train.load import check_student, load_student
from autolabel.train.request import folder_of, is_current, request_of
from autolabel.train.result import RunFile, TrainResult, complete_run, task_name
from autolabel.train.threshold import choose_threshold

__all__ = [
    "LICENCE", "Student", "TrainResult", "check_student", "folder_of", "is_complete", "is_current",
    "load_student", "train",
]  # fmt: skip


def train(
    workspace: Workspace,
    layer: Layer,
    ontology: Ontology,
    config: TrainConfig,
    engine: EngineConfig,
    *,
    overwrite: bool = False,
    report: Reporter = silent,
    say: Callable[[str], None] = lambda text: None,
) -> TrainResult:
    """Train a student in ``train/NAME``, go on where that was stopped, or find it complete.

    Args:
        workspace: where the layer and the folder are.
        layer: the labels to learn from.
        ontology: their classes.
        config: the student and the recipe.
        engine: where it runs.
        overwrite: whether a student of other labels or settings is trained anew; the old one stays
            until the new one is complete.
        report: called with the number of epochs to do.
        say: called with what is to be known before it begins.

    Raises:
        AutolabelError: ultralytics is missing, the student is not here or cannot learn this, there
            is no label, or the folder holds another student.
    """
    existing_root(workspace)
    chosen = choose(workspace, layer, config, engine)
    natural = choose_task(chosen, "auto")
    request = request_of(config, ontology, natural.masks, chosen.fingerprint())
    likely = folder_of(workspace.path, config)
    if (run := complete_run(likely, request=request)) is not None:
        tidy(likely)
        return TrainResult.of(likely, run, chosen.held_out, fresh=False)
    require_labels(chosen)  # before anything is written
    load_ultralytics()
    start = importlib.import_module("autolabel.train.yolo").find_start(config, natural.masks)
    job = Job(workspace, chosen, ontology, config, engine, start, natural, request, report, say)
    binding, fresh = job.binding, False
    if complete_run(job.final, binding) is None:
        with held(job.final):  # which finishes what a kill left half moved
            if complete_run(job.final, binding) is None:
                fresh = _work(job, binding, overwrite=overwrite)
    run = RunFile.model_validate(read_run(job.final))
    return TrainResult.of(job.final, run, chosen.held_out, fresh=fresh)


def _work(job: Job, binding: dict[str, Any], *, overwrite: bool) -> bool:
    """Train, unless a complete student waits to be put in its place; return whether it trained."""
    folder = job.final
    try:
        folder = begin(job.final, binding, overwrite=overwrite)
        if complete_run(folder, binding) is not None:
            settle(folder, job.final)
            return False
        if (folder / DATASET).exists():  # what a stop left of it may be anything
            shutil.rmtree(folder / DATASET)
        data = write_dataset(
            job.workspace, job.chosen, job.ontology, job.config, folder / DATASET,
            masks=job.start.masks,
        )  # fmt: skip
        run = job.opened(folder, binding, data)
        job.say(f"task: {task_name(job.start.masks)}, {job.reason}")
        fit(job, folder, run, data)
        student = load_student(folder, job.engine.device)
        run["threshold"] = choose_threshold(student, data, job.ontology.names)
        finish(folder, job.final, run)
    except OSError as e:
        raise not_writable(folder, e) from e
    return True
