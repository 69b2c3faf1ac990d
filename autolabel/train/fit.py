"""The epochs of a training that are left, done by ultralytics."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import Any

from autolabel.config import TrainConfig
from autolabel.train.dataset import Dataset
from autolabel.train.folder import DATASET, STATE, write_run
from autolabel.train.job import Job


def fit(job: Job, folder: Path, run: dict[str, Any], data: Dataset) -> None:
    """Do the epochs that are left; `run` is kept up to date, and written after each."""
    trainer = importlib.import_module("autolabel.train.yolo_trainer")
    devices = importlib.import_module("autolabel.models.device")
    done = _resume(trainer.read_state(folder), folder, run)
    if done >= job.config.epochs:
        return
    device = str(devices.resolve(job.engine.device)).replace("cuda:", "").replace("cuda", "0")
    progress = job.report("train", job.config.epochs - done)
    clock, seconds_before = time.monotonic(), run["seconds"]

    def on_epoch(epoch: int, row: dict[str, Any], best_epoch: int) -> None:
        run["best_epoch"] = best_epoch
        run["epochs_done"] = epoch
        run["seconds"] = round(seconds_before + time.monotonic() - clock, 3)
        write_run(folder, run)
        progress.images = epoch - done
        if row.get("ap50") is not None:
            progress.note = f"AP50 {row['ap50']:.3f} on {data.val_images} auto-labelled images"
        progress.changed(progress)

    trainer.fit(
        folder,
        _ultralytics_data(data, run["classes"]),
        job.start,
        _options(job.config, folder, device, run["student"]),
        selects=data.val_images > 0,
        on_epoch=on_epoch,
    )


def _resume(state: dict[str, Any] | None, folder: Path, run: dict[str, Any]) -> int:
    """Note where training goes on from, and return the epochs that are done."""
    done: int = state["epoch"] if state else 0
    if state is None:
        (folder / STATE).unlink(missing_ok=True)
    else:
        run["resumed_from"] = [*run["resumed_from"], done]
    run["epochs_done"] = done
    run["best_epoch"] = state["best_epoch"] if state else None
    write_run(folder, run)
    return done


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
    """Return the options of ultralytics."""
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
