"""Ultralytics' training loop, made to go on exactly where it was killed, in silence.

Ultralytics' own checkpoints are rounded to half precision and written in place; what a training
goes on from here is whole, with the state of every random generator, and written atomically.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
import ultralytics
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.models.yolo.segment import SegmentationTrainer
from ultralytics.utils import LOGGER

from autolabel.errors import AutolabelError
from autolabel.store import write_atomic
from autolabel.train.folder import BEST, LAST, LOG, STATE, write_metrics
from autolabel.train.random_state import random_state, set_random_state
from autolabel.train.yolo import Start

Row = dict[str, Any]
"""One epoch of metrics.csv."""
OnEpoch = Callable[[int, Row, int], None]
"""(number of the epoch from 1, its figures, number of the best epoch so far)"""

_FIGURES = {
    "precision": "metrics/precision(B)",
    "recall": "metrics/recall(B)",
    "ap50": "metrics/mAP50(B)",
    "ap": "metrics/mAP50-95(B)",
    "mask_ap50": "metrics/mAP50(M)",
    "mask_ap": "metrics/mAP50-95(M)",
}
_OURS = ("model", "data", "save_dir", "project", "name")
"""Options that hold paths of this machine, and so stay out of a checkpoint."""


class _Ours:
    """What differs from ultralytics' trainer; it stands before that in the order of classes."""

    def __init__(
        self,
        overrides: dict[str, Any],
        folder: Path,
        data: dict[str, Any],
        start: Start,
        selects: bool,
        on_epoch: OnEpoch,
    ) -> None:
        self.folder, self.own_data, self.start = folder, data, start
        self.selects, self.on_epoch = selects, on_epoch
        self.state = read_state(folder)
        self.rows: list[Row] = self.state["rows"] if self.state else []
        self.best_epoch: int = self.state["best_epoch"] if self.state else 0
        super().__init__(overrides=overrides)  # type: ignore[call-arg]
        self.callbacks: Any = defaultdict(list)  # those of the validator: nothing is sent

    # -- what would read settings, send, or fetch ------------------------------------------------

    def run_callbacks(self, event: str) -> None:
        """None: they are ultralytics' analytics and trackers."""

    def check_resume(self, overrides: dict[str, Any]) -> None:
        """Nothing to check: what a training goes on from was made with the same options."""
        self.resume = self.state is not None

    def get_dataset(self) -> dict[str, Any]:
        """Return the dataset, without ultralytics' search for fonts and downloads."""
        return self.own_data

    def setup_model(self) -> dict[str, Any] | None:
        """Set up the network, from memory and not from a file."""
        one: Any = self
        one.model = one.get_model(
            cfg=deepcopy(self.start.network), weights=self.start.weights, verbose=False
        )
        return self.state

    def final_eval(self) -> None:
        """Nothing: every epoch was measured, and the best one is known."""

    # -- going on --------------------------------------------------------------------------------

    def resume_training(self, state: dict[str, Any] | None) -> None:
        """Put everything back as it was at the end of an epoch."""
        one: Any = self
        if state is None:
            return
        one.model.load_state_dict(state["model"])
        one.ema.ema.load_state_dict(state["ema"])
        one.ema.updates = state["updates"]
        one.optimizer.load_state_dict(state["optimizer"])
        one.best_fitness = state["best_fitness"]
        one.start_epoch = state["epoch"]
        if getattr(one.model.model[-1], "one2one_cv2", None) is not None:
            one.model.criterion = one.model.init_criterion()
            one.model.criterion.updates = one.start_epoch - 1
            one.model.criterion.update()
        for i in state["buffer"]:  # the images that mosaics take their parts from, in order
            one.train_loader.dataset.load_image(i)
        set_random_state(state["random"])

    def _model_train(self) -> None:
        """Begin an epoch: its order of images depends on the seed and its number alone."""
        one: Any = self
        super()._model_train()  # type: ignore[misc]
        one.train_loader.iterator = None
        one.train_loader.generator.manual_seed(1_000_003 * one.args.seed + one.epoch)

    def save_metrics(self, metrics: dict[str, Any]) -> None:
        """Keep the figures of an epoch."""
        one: Any = self
        losses = {k[6:]: float(v) for k, v in metrics.items() if k.startswith("train/")}
        figures = {
            ours: float(metrics[theirs]) if theirs in metrics else None
            for ours, theirs in _FIGURES.items()
            if theirs in metrics or not ours.startswith("mask")
        }
        self.rows.append({"epoch": one.epoch + 1, **losses, **figures})

    def save_model(self) -> bool:
        """Write the student where it is the best, then all that is needed to go on."""
        one: Any = self
        last = one.epoch + 1 >= one.epochs
        if one.best_fitness == one.fitness or last:
            content = self._checkpoint()
            if one.best_fitness == one.fitness:
                self.best_epoch = one.epoch + 1
                write_atomic(self.folder / BEST, content)
            if last:
                write_atomic(self.folder / LAST, content)
        write_metrics(self.folder, self.rows)
        state = {
            "epoch": one.epoch + 1,
            "model": one.model.state_dict(),
            "ema": one.ema.ema.state_dict(),
            "updates": one.ema.updates,
            "optimizer": one.optimizer.state_dict(),
            "best_fitness": float(one.best_fitness),
            "best_epoch": self.best_epoch,
            "rows": self.rows,
            "buffer": list(one.train_loader.dataset.buffer),
            "random": random_state(),
        }
        write_atomic(self.folder / STATE, _saved(state))
        self.on_epoch(one.epoch + 1, self.rows[-1], self.best_epoch)
        return False

    def validate(self) -> tuple[dict[str, Any], float]:
        """Measure on the val part; without one, the last epoch is the best."""
        one: Any = self
        if self.selects:
            metrics, fitness = super().validate()  # type: ignore[misc]
            return metrics, float(fitness)
        one.best_fitness = float(one.epoch)
        return {}, float(one.epoch)

    def _handle_nan_recovery(self, epoch: int) -> bool:
        one: Any = self
        if one.loss is not None and not one.loss.isfinite():
            raise AutolabelError(
                f"the training diverged in epoch {epoch + 1}: its loss is not finite",
                hint="choose a lower --lr0, or --optimizer auto",
            )
        return False

    def _checkpoint(self) -> bytes:
        """Return the student as ultralytics reads it, in half precision; always the same bytes."""
        one: Any = self
        network = deepcopy(one.ema.ema).half()
        network.criterion = None
        network.args = {k: v for k, v in vars(one.args).items() if k not in _OURS}
        for parameter in network.parameters():
            parameter.requires_grad = False
        return _saved(
            {
                "epoch": -1,
                "model": network,
                "train_args": network.args,
                "version": ultralytics.__version__,
                "license": "AGPL-3.0 (https://ultralytics.com/license)",
            }
        )


class _Boxes(_Ours, DetectionTrainer):  # type: ignore[misc]
    """Learns boxes."""


class _Masks(_Ours, SegmentationTrainer):  # type: ignore[misc]
    """Learns masks."""


def fit(
    folder: Path,
    data: dict[str, Any],
    start: Start,
    options: dict[str, Any],
    *,
    selects: bool,
    on_epoch: OnEpoch,
) -> None:
    """Train, or go on; leaves best.pt, last.pt and metrics.csv in the folder.

    Args:
        folder: of the student.
        data: the dataset, as ultralytics checks one.
        start: what to train.
        options: of ultralytics.
        selects: whether there is a val part to choose the best epoch by.
        on_epoch: called after each epoch.

    Raises:
        AutolabelError: the loss is not finite any more.
    """
    kind = _Masks if start.masks else _Boxes
    with _silent(folder / LOG):
        kind(options, folder, data, start, selects, on_epoch).train()


def read_state(folder: Path) -> dict[str, Any] | None:
    """Return what an unfinished training goes on from; None where there is nothing whole.

    One of an older version, which lacks something, is none.
    """
    try:
        state = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, UnpicklingError, ValueError):
        return None
    return state if isinstance(state, dict) and "best_epoch" in state else None


def _saved(content: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer)
    return buffer.getvalue()


class _Plain(logging.Formatter):
    """Log lines without colours."""

    def format(self, record: logging.LogRecord) -> str:
        return re.sub(r"\x1b\[[0-9;]*m", "", super().format(record))


@contextlib.contextmanager
def _silent(log: Path) -> Iterator[None]:
    """Send what ultralytics says to a file, and put the generators back afterwards."""
    handler = logging.FileHandler(log, encoding="utf-8")
    handler.setFormatter(_Plain("%(message)s"))
    before, propagates = list(LOGGER.handlers), LOGGER.propagate
    LOGGER.handlers, LOGGER.propagate = [handler], False
    threads = torch.get_num_threads()
    try:
        with (
            Path(os.devnull).open("w") as sink,
            contextlib.redirect_stdout(sink),  # its progress bars
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        LOGGER.handlers, LOGGER.propagate = before, propagates
        handler.close()
        torch.set_num_threads(threads)
