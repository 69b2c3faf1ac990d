"""What people see: progress and messages on standard error, data on standard output."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from rich.table import Column, Table
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
    """One line to standard error."""
    _end_bar(if_finished=True)
    err.print(escape(text))


def problem(error: str, hint: str) -> None:
    """An error and what to do about it, one line each."""
    _end_bar()
    err.print(f"[bold red]error:[/] {escape(one_line(error))}")
    err.print(f"[bold cyan]hint:[/] {escape(one_line(hint))}")


def one_line(text: str) -> str:
    """Text without line breaks or control characters, which a file name may hold."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def data(value: Any) -> None:
    """JSON to standard output."""
    _end_bar()
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def plain(done: Any) -> dict[str, Any]:
    """The fields of a result, as JSON values."""
    return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(done).items()}


def table(value: Any) -> None:
    """A rich table to standard output."""
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
    """``12.3 images/s``; what takes longer than a second, ``3.2 s per epoch``."""
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


def stage_done(stage: str, done: Any) -> None:
    """One line on what a stage did."""
    if not done.images and not done.gone:
        left = f"; {done.unread} images still cannot be read" if done.unread else ""
        message(f"{stage}: nothing to do{left}{_left_alone(done, ', ')}")
        return
    counts = done.layer.counts()
    parts = [f"{done.images} images done", f"{counts.images} in {done.layer.name}/"]
    parts += [f"{n} {SPLITS[name]}" for name, n in sorted(counts.splits.items()) if name in SPLITS]
    if stage != "ingest":
        parts.append(f"{counts.kept} objects")
        if counts.objects > counts.kept:
            parts.append(f"{counts.objects - counts.kept} rejected")
    if counts.errors:
        parts.append(f"{counts.errors} errors")
    if done.unread:
        parts.append(f"{done.unread} could not be read: the same command tries them again")
    if done.ignored:
        parts.append(f"{done.ignored} other files left alone")
    message(f"{stage}: {', '.join(parts)}{_left_alone(done, ', ')}")


def _left_alone(done: Any, before: str) -> str:
    return f"{before}{done.ours} files that autolabel wrote left alone" if done.ours else ""


MOST_FILES = 5
"""Files that failed, named at once; `status --errors` names all."""


def files_failed(failed: Sequence[tuple[str, str]], workspace: Path) -> None:
    """The first files that failed, each with the reason."""
    for file, reason in failed[:MOST_FILES]:
        message(f"  {one_line(file)}: {one_line(reason)}")
    if len(failed) > MOST_FILES:
        more = len(failed) - MOST_FILES
        message(f"  and {more} more; autolabel status {workspace} --errors names all")


SPLITS = {"leak": "leaks", "duplicate": "duplicates", "excluded": "excluded", "gone": "gone"}


def trials(rows: Any, labels: Mapping[str, int], as_json: bool) -> None:
    """What each rule of the filter would reject, of how many labels, and what is left.

    Args:
        rows: what a rule does, for each.
        labels: class -> labels that there are.
        as_json: whether to print JSON.
    """
    names = [*labels, *sorted({name for row in rows for name in row.classes} - set(labels))]
    lost = {name: sum(row.classes.get(name, 0) for row in rows) for name in names}
    left = {name: labels.get(name, 0) - lost[name] for name in names}
    if as_json:
        rules = [asdict(row) for row in rows]
        data({"rules": rules, "labels": dict(labels), "rejected": lost, "kept": left})
        return
    shown = Table(title="would be rejected", title_justify="left")
    for name in ("rule", "alone", "in its place", *names):
        shown.add_column(escape(name), justify="left" if name == "rule" else "right")
    for row in rows:
        figures = [row.alone, sum(row.classes.values()), *(row.classes.get(n, 0) for n in names)]
        shown.add_row(row.rule, *map(str, figures))
    shown.add_section()
    for title, counts in (("all rules", lost), ("labels", labels), ("left", left)):
        figures = [sum(counts.values()), *(counts.get(n, 0) for n in names)]
        shown.add_row(title, "", *map(str, figures))
    table(shown)
    message("no label was changed")


def previewed(done: Any, as_json: bool) -> None:
    """What a preview shows."""
    if as_json:
        data(plain(done))
        return
    counts = f"{done.kept} kept and {done.rejected} rejected labels"
    if done.unread:
        counts += f"; {done.unread} images could not be read"
    message(f"preview: {len(done.files)} pictures of {counts} -> {done.out}")


def reported(done: Any, as_json: bool, **also: int) -> None:
    """What a report says, and where it is."""
    if as_json:
        data({**plain(done), **also})
        return
    message(f"report: {done.verdict}")
    parts = [f"{done.size / 1e6:.1f} MB"]
    if done.photos_gone:
        parts.append(f"{done.photos_gone} photos are gone")
    if done.pictures_left_out:
        parts.append(f"{done.pictures_left_out} pictures left out")
    message(f"report: {', '.join(parts)} -> {done.out}")


def trained(done: Any, as_json: bool, **also: int) -> None:
    """What a student learned from, and where it is."""
    if done.unlearned and done.fresh:
        listed = ", ".join(done.unlearned)
        message(f"warning: no label to learn from, so that it will not be found: {listed}")
    if as_json:
        data({**plain(done), **also})
        return
    if not done.fresh:
        message(f"train: nothing to do, {done.weights} is complete")
        return
    parts = [f"{done.epochs} epochs on {done.images} images with {done.objects} objects"]
    if done.resumed_from is not None:
        parts.append(f"resumed after epoch {done.resumed_from}")
    chosen = f"the best of them by {done.val_images} other auto-labelled images"
    parts.append(chosen if done.val_images else "no image could be spared to choose the best")
    parts += [f"{n} {SPLITS.get(reason, reason)} left out" for reason, n in done.skipped.items()]
    if done.rewritten:
        parts.append(f"{done.rewritten} images written anew for it, upright, as 8-bit RGB")
    if done.threshold:
        why = done.threshold.get("why")
        parts.append(
            f"to be used from score {done.threshold['score']:g}" + (f", as {why}" if why else "")
        )
    message(f"train: {', '.join(parts)} -> {done.weights}")


_LOST = {
    "masks": "{} masks (--task segment writes them)",
    "holes": "the holes of {} masks (--coco-masks rle keeps them)",
    "boxes_as_outlines": "the masks of {} objects that have none: their boxes stand for them",
    "seams": "the separate outlines of {} masks of several parts or with holes: seams join them",
    "scores": "{} scores",
    "evidence": "the evidence of {} objects",
    "rejected": "{} rejected objects",
}
"""What an export loses -> how it is said."""


def exported(done: Any, as_json: bool, **also: int) -> None:
    """What an export wrote."""
    if as_json:
        data({**plain(done), **also})
        return
    parts = [f"{done.images} images", f"{done.objects} objects"]
    parts += [f"{n} {reason}" for reason, n in done.skipped.items()]
    if done.empty_boxes:
        parts.append(f"{done.empty_boxes} boxes without area left out")
    if done.rewritten:
        parts.append(f"{done.rewritten} images written anew, upright, as 8-bit RGB")
    message(f"task: {done.task}, {done.reason}")
    message(f"export: {', '.join(parts)} -> {done.out}")
    if done.lost:
        lost = ", ".join(_LOST.get(what, what).format(n) for what, n in done.lost.items())
        message(f"  not in these files: {lost}")
    for line in done.problems[:10]:
        message(f"  left out: {one_line(line)}")
    if len(done.problems) > 10:
        message(f"  and {len(done.problems) - 10} more")
