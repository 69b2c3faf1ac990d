"""A small student, trained on the kept labels of a layer.

The trainer is ultralytics (AGPL-3.0), behind the `Student` protocol of `autolabel.train.base`.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from autolabel import __version__
from autolabel.config import EngineConfig, TrainConfig
from autolabel.datasets.names import tidy_stem
from autolabel.datasets.task import Task, choose_task
from autolabel.errors import AutolabelError
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.ontology import Ontology
from autolabel.registry.checksums import sha256_of
from autolabel.stages.running import Reporter, existing_root, silent
from autolabel.store import Layer, Workspace, not_writable
from autolabel.train.base import THRESHOLD, Student
from autolabel.train.choose import ChosenLayer, choose
from autolabel.train.dataset import Dataset, require_labels, write_dataset
from autolabel.train.folder import (
    BEST,
    DATASET,
    STATE,
    UNFINISHED,
    begin,
    finish,
    held,
    is_complete,
    read_run,
    settle,
    threshold_of,
    tidy,
    write_run,
)
from autolabel.train.threshold import choose_threshold

__all__ = [
    "LICENCE", "Student", "TrainResult", "check_student", "folder_of", "is_complete", "is_current",
    "load_student", "train",
]  # fmt: skip

LICENCE = "the trainer, ultralytics, is under AGPL-3.0; its makers say so of trained weights too"


@dataclass(frozen=True)
class TrainResult:
    """A trained student.

    Attributes:
        folder: with best.pt, last.pt, run.json, metrics.csv and train.log.
        weights: those of the best epoch.
        images, objects: how many it learned from.
        epochs: how often it saw them.
        resumed_from: the epoch after which a stopped training went on, or None.
        seconds: of training, without what a kill lost.
        skipped: images not learned from, by reason.
        fresh: False where it was complete already, and nothing was done.
        val_images: images that chose the best epoch; with none, the last one is the best.
        unlearned: classes without a label to learn from.
        threshold: what run.json says of the operating threshold, see `choose_threshold`.
        task: ``detect`` or ``segment``.
        reason: why, in words that follow "task: segment,".
        rewritten: images written anew for the trainer, which cannot read them as they are.
        held_out: held-out photos that it was kept from, with all that was made from them.
    """

    folder: Path
    weights: Path
    images: int
    objects: int
    epochs: int
    resumed_from: int | None
    seconds: float
    skipped: dict[str, int]
    fresh: bool
    val_images: int = 0
    unlearned: tuple[str, ...] = ()
    threshold: dict[str, Any] = field(default_factory=dict)
    task: str = "detect"
    reason: str = ""
    rewritten: int = 0
    held_out: int = 0


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
        AutolabelError: ultralytics is missing, the student is not found or cannot learn this, there
            is no label, or the folder holds another student.
    """
    existing_root(workspace)
    chosen = choose(workspace, layer, config, engine)
    natural, labels = choose_task(chosen, "auto"), chosen.fingerprint()
    masks = natural.masks
    request = _request(config, ontology, masks, labels)
    likely = folder_of(workspace.path, config)
    if is_complete(likely, request=request):
        tidy(likely)
        return _trained(likely, chosen, fresh=False)
    require_labels(chosen)  # before anything is written
    load_ultralytics()
    yolo = importlib.import_module("autolabel.train.yolo")
    start = yolo.find_start(config, masks)
    final = workspace.path / "train" / tidy_stem(config.name or start.name)
    binding = {
        "settings": {k: v for k, v in config.settings().items() if k != "task"},
        "student": start.identity["student"],
        "revision": start.identity["revision"],
        "masks": start.masks,
        "layer": layer.name,
        "classes": list(ontology.names),
        "labels": labels,
    }
    if is_complete(final, binding):
        return _trained(final, chosen, fresh=False)
    with held(final):
        if is_complete(final, binding):  # what a kill left half moved has been finished
            return _trained(final, chosen, fresh=False)
        folder = final
        try:
            folder = begin(final, binding, overwrite=overwrite)
            if is_complete(folder, binding):  # and was not moved into its place yet
                settle(folder, final)
                return _trained(final, chosen, fresh=False)
            if (folder / DATASET).exists():  # what a stop left of it may be anything
                shutil.rmtree(folder / DATASET)
            data = write_dataset(
                workspace, chosen, ontology, config, folder / DATASET, masks=start.masks
            )
            run = _opened(folder, binding, config, final.name, data, chosen, engine)
            run["request"] = request
            run["reason"] = _reason(config, start.masks, natural)
            say(f"task: {_task(run)}, {run['reason']}")
            _fit(folder, run, start, data, config, engine, report)
            student = load_student(folder, engine.device)
            run["threshold"] = choose_threshold(student, data, ontology.names)
            finish(folder, final, run)
        except OSError as e:
            raise not_writable(folder, e) from e
    return _trained(final, chosen, fresh=True)


def folder_of(workspace: Path, config: TrainConfig) -> Path:
    """The folder of the student that the options name, unless the trainer knows a better name."""
    return workspace / "train" / tidy_stem(config.name or Path(config.student).stem)


def is_current(workspace: Workspace, layer: Layer, ontology: Ontology, config: TrainConfig) -> bool:
    """Whether `train` would find its work done.

    Raises:
        AutolabelError: a held-out photo cannot be read.
    """
    chosen = choose(workspace, layer, config)
    masks = choose_task(chosen, "auto").masks
    request = _request(config, ontology, masks, chosen.fingerprint())
    return is_complete(folder_of(workspace.path, config), request=request)


def check_student(config: TrainConfig) -> None:
    """See that the student can be had, and that the trainer is installed.

    Raises:
        AutolabelError: one of them is not.
    """
    load_ultralytics()
    importlib.import_module("autolabel.train.yolo").find_start(config, True)


def load_student(reference: str | Path, device: str) -> Student:
    """A trained student from its ``.pt`` file or its folder; the file runs no code.

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
        run.get("name") or weights.stem,
        device,
        THRESHOLD if threshold is None else threshold,
    )
    return student


def _request(config: TrainConfig, ontology: Ontology, masks: bool, labels: str) -> str:
    """Hash of what is asked for, found without the trainer, which takes seconds to load."""
    file = Path(config.student).expanduser()
    try:
        trainer = version("ultralytics")
    except PackageNotFoundError:
        trainer = None
    asked = {
        "options": config.model_dump(mode="json"),
        "student": sha256_of(file) if file.is_file() else None,
        "trainer": trainer,
        "masks": masks,
        "classes": list(ontology.names),
        "labels": labels,
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def _reason(config: TrainConfig, masks: bool, natural: Task) -> str:
    """Why boxes or masks are learned, in words that follow "task: segment,"."""
    if config.task != "auto":
        return "as asked"
    if natural.masks and not masks:
        return f"since student {config.student} finds boxes alone"
    return natural.reason


def _task(run: dict[str, Any]) -> str:
    return "segment" if run["masks"] else "detect"


def _opened(
    folder: Path,
    binding: dict[str, Any],
    config: TrainConfig,
    name: str,
    data: Dataset,
    layer: ChosenLayer,
    engine: EngineConfig,
) -> dict[str, Any]:
    """What run.json says while training lasts; what an earlier attempt noted stays."""
    before = read_run(folder)
    here = Path(config.student).expanduser()
    student = str(here.resolve()) if here.is_file() else config.student
    versions = {"autolabel": __version__}
    versions |= {k: importlib.import_module(k).__version__ for k in ("ultralytics", "torch")}
    return {
        "state": UNFINISHED,
        "name": name,
        "student": binding["student"],
        "masks": binding["masks"],
        "layer": layer.name,
        "classes": binding["classes"],
        "fingerprint": binding["labels"],
        "layer_fingerprint": Layer.fingerprint(layer),
        "settings": {**config.model_dump(mode="json"), "student": student, "name": name},
        "images": data.images,
        "rewritten": data.rewritten,
        "val_images": data.val_images,
        "objects": sum(data.objects.values()),
        "objects_by_class": data.objects,
        "skipped": data.skipped,
        "epochs": config.epochs,
        "epochs_done": before.get("epochs_done", 0),
        "best_epoch": None,
        "resumed_from": before.get("resumed_from", []),
        "seconds": before.get("seconds", 0.0),
        "versions": versions,
        "machine": _machine(engine),
        "licence": LICENCE,
        "binding": binding,
    }


def _machine(engine: EngineConfig) -> str:
    """What it is trained on: the same seed gives the same weights on the like of it."""
    devices = importlib.import_module("autolabel.models.device")
    machine = importlib.import_module("autolabel.models.machine")
    name: str = machine.processor(devices.resolve(engine.device))
    return name


def _fit(
    folder: Path,
    run: dict[str, Any],
    start: Any,
    data: Dataset,
    config: TrainConfig,
    engine: EngineConfig,
    report: Reporter,
) -> None:
    """Do the epochs that are left; `run` is kept up to date, and written after each."""
    trainer = importlib.import_module("autolabel.train.yolo_trainer")
    devices = importlib.import_module("autolabel.models.device")
    state = trainer.read_state(folder)
    done = state["epoch"] if state else 0
    if state is None:
        (folder / STATE).unlink(missing_ok=True)
    else:
        run["resumed_from"] = [*run["resumed_from"], done]
    run["epochs_done"] = done
    run["best_epoch"] = state["best_epoch"] if state else None
    write_run(folder, run)
    if done >= config.epochs:
        return
    progress = report("train", config.epochs - done)
    clock = time.monotonic()
    seconds_before = run["seconds"]

    def on_epoch(epoch: int, row: dict[str, Any], best_epoch: int) -> None:
        run["best_epoch"] = best_epoch
        run["epochs_done"] = epoch
        run["seconds"] = round(seconds_before + time.monotonic() - clock, 3)
        write_run(folder, run)
        progress.images = epoch - done
        if row.get("ap50") is not None:
            progress.note = f"AP50 {row['ap50']:.3f} on {data.val_images} auto-labelled images"
        progress.changed(progress)

    device = str(devices.resolve(engine.device)).replace("cuda:", "").replace("cuda", "0")
    trainer.fit(
        folder,
        _ultralytics_data(data, run["classes"]),
        start,
        _options(config, folder, device, run["student"]),
        selects=data.val_images > 0,
        on_epoch=on_epoch,
    )


def _ultralytics_data(data: Dataset, classes: list[str]) -> dict[str, Any]:
    folder = data.folder.resolve()
    return {
        "path": folder,
        "train": str(folder / "images" / "train"),
        # It must have one; where no image can be spared, nothing is measured on it.
        "val": str(folder / "images" / ("val" if data.val_images else "train")),
        "names": dict(enumerate(classes)),
        "nc": len(classes),
        "channels": 3,
    }


_SAME_NAME = (
    "epochs", "imgsz", "batch", "optimizer", "lr0", "mosaic", "close_mosaic", "scale", "fliplr",
    "flipud", "cache", "seed",
)  # fmt: skip


def _options(config: TrainConfig, folder: Path, device: str, name: str) -> dict[str, Any]:
    """The options of ultralytics."""
    return {
        **{name: getattr(config, name) for name in _SAME_NAME},
        "nbs": config.batch,  # a step after each batch, not after 64 images
        "device": device,
        "workers": 0,
        "model": name,  # for its log
        "deterministic": True,
        "amp": False,  # its check of mixed precision fetches a model
        "plots": False,
        "patience": config.epochs + 1,
        "save_dir": str(folder / DATASET / "ultralytics"),
        "verbose": False,
    }


def _trained(folder: Path, chosen: ChosenLayer, *, fresh: bool) -> TrainResult:
    run = read_run(folder)
    return TrainResult(
        folder=folder,
        weights=folder / BEST,
        images=run["images"],
        objects=run["objects"],
        epochs=run["epochs"],
        resumed_from=run["resumed_from"][-1] if run["resumed_from"] else None,
        seconds=run["seconds"],
        skipped=run["skipped"],
        fresh=fresh,
        val_images=run["val_images"],
        unlearned=tuple(name for name, count in run["objects_by_class"].items() if not count),
        threshold=run.get("threshold") or {},
        task=_task(run),
        reason=run.get("reason") or "",
        rewritten=run.get("rewritten") or 0,
        held_out=chosen.held_out,
    )
