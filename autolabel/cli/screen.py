"""The terminal: messages and moving bars on standard error, data on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bar
from rich.table import Column
from rich.text import Text

if TYPE_CHECKING:
    from autolabel.engine.base import Progress

SECONDS_BETWEEN_LINES = 10.0

err = Console(stderr=True, highlight=False, soft_wrap=True)

_live: list[Bar] = []
"""The bar that moves, if one does. What else is printed ends it, or goes above it by way of `err`:
a bar that goes on moving would be drawn over the lines that another console prints."""


def _end_bar(*, if_finished: bool = False) -> None:
    while _live and (_live[-1].finished or not if_finished):
        _live.pop().stop()


def message(text: str) -> None:
    """Write one line to standard error."""
    _end_bar(if_finished=True)
    err.print(escape(text))


def problem(error: str, hint: str) -> None:
    """Write an error and what to do about it, one line each."""
    _end_bar()
    err.print(f"[bold red]error:[/] {escape(one_line(error))}")
    err.print(f"[bold cyan]hint:[/] {escape(one_line(hint))}")


def one_line(text: str) -> str:
    """Return a text without line breaks and control characters, which a file name may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def data(value: Any) -> None:
    """Write JSON to standard output."""
    _end_bar()
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def plain(done: Any) -> dict[str, Any]:
    """Return the fields of a result as JSON values."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(done).items()}


def table(value: Any) -> None:
    """Write a rich table to standard output."""
    _end_bar()
    Console(highlight=False).print(value)


UNITS = {"train": "epochs"}
"""What a stage counts, where that is not images."""


class _Rate(ProgressColumn):
    """Images per second and what was found."""

    def render(self, task: Task) -> Text:
        # What is finished took as long as it took, however long its bar is shown.
        seconds = task.finished_time or task.elapsed or 0
        made = task.completed - task.fields["resumed"]
        speed = rate(made, seconds, UNITS.get(task.description, "images"))
        if task.description in UNITS:
            return Text(f"{speed}  {task.fields['note']}")
        counts = f"{task.fields['objects']} objects"
        if task.fields["errors"]:
            counts += f", {task.fields['errors']} errors"
        return Text(f"{speed}  {counts}")


def rate(done: float, seconds: float, unit: str = "images") -> str:
    """Write ``12.3 images/s``; of what takes longer than a second, ``3.2 s per epoch``."""
    if unit != "images":
        return f"{seconds / done:.1f} s per {unit[:-1]}" if done else f"– s per {unit[:-1]}"
    return f"{done / seconds:.1f} images/s" if seconds > 0 else "– images/s"


class Reporter:
    """Shows stages as they run: a bar on a terminal, plain lines elsewhere. A context manager.

    Called with a stage's name and the number of images to do, it gives the progress to update. Each
    stage has a bar of its own, which stays as it is when the next begins.
    """

    def __init__(self) -> None:
        self.last: Progress | None = None

    def __enter__(self) -> Reporter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        _end_bar()

    def __call__(self, stage: str, images: int) -> Progress:
        from autolabel.engine.base import Progress  # loads numpy and Arrow

        progress = Progress()
        self.last = progress
        _end_bar()
        moves = err.is_terminal and not err.is_dumb_terminal
        progress.changed = _moving(stage, images) if moves else _Lines(stage, images)
        progress.changed(progress)
        return progress


def _moving(stage: str, images: int) -> Callable[[Progress], None]:
    bar = Bar(
        TextColumn("{task.description:9}", table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
        _Rate(table_column=Column(no_wrap=True)),
        console=err,
        expand=True,
    )
    task = bar.add_task(stage, total=images, objects=0, errors=0, resumed=0, note="")
    _live.append(bar)
    bar.start()

    def changed(progress: Progress) -> None:
        bar.update(
            task,
            completed=progress.images,
            objects=progress.objects,
            errors=progress.errors,
            resumed=progress.resumed,
            note=progress.note,
        )

    return changed


class _Lines:
    """One line when a stage starts, one every ten seconds, one when it ends."""

    def __init__(self, stage: str, images: int) -> None:
        self.stage = stage
        self.unit = UNITS.get(stage, "images")
        self.total = images
        self.start = self.shown = time.monotonic()
        self.ended = False
        message(f"{stage}: {images} {self.unit} to do")

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.images == 0:
            return  # shards that only pass through come before the first image
        if progress.images >= self.total and not self.ended:
            self.ended = True
            self._line(progress, now)
        elif now - self.shown >= SECONDS_BETWEEN_LINES and not self.ended:
            self.shown = now
            self._line(progress, now)

    def _line(self, progress: Progress, now: float) -> None:
        seconds = now - self.start
        made = progress.images - progress.resumed  # the others took an earlier run's time
        left = (self.total - progress.images) * seconds / max(made, 1)
        counts = f"{progress.objects} objects, {progress.errors} errors"
        message(
            f"{self.stage}: {progress.images}/{self.total} {self.unit}, "
            f"{rate(made, seconds, self.unit)}, {left:.0f} s left"
            + (f", {progress.note or counts}" if progress.note or self.unit == "images" else "")
        )


@contextmanager
def stopping(resume: str) -> Iterator[None]:
    """Say how to go on when Ctrl-C stops what is inside."""
    try:
        yield
    except KeyboardInterrupt:
        message(f"stopped; what is done is kept. To go on: {resume}")
        raise
