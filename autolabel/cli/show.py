"""What people are told of a stage's result, in a line or two, or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from autolabel.cli.screen import (
    Reporter,
    data,
    message,
    one_line,
    plain,
    problem,
    stopping,
    table,
)

if TYPE_CHECKING:
    from autolabel.datasets.export import ExportResult
    from autolabel.report import ReportResult
    from autolabel.report.preview import PreviewResult
    from autolabel.stages.filter.trial import Trial
    from autolabel.stages.ingest import IngestResult
    from autolabel.stages.running import StageResult
    from autolabel.train import TrainResult

__all__ = [
    "Reporter",
    "class_ids",
    "data",
    "exported",
    "files_failed",
    "message",
    "one_line",
    "plain",
    "previewed",
    "problem",
    "reported",
    "stage_done",
    "stopping",
    "table",
    "trained",
    "trials",
]


def stage_done(stage: str, done: StageResult) -> None:
    """Write a line on what a stage did."""
    from autolabel.stages.ingest import IngestResult
    from autolabel.stages.table import STAGES

    read = done if isinstance(done, IngestResult) else None  # files, where others read a layer
    also = _left_out(read) if read else ""
    if not done.images and not (read and read.gone):
        left = f"; {done.unread} images still cannot be read" if done.unread else ""
        message(f"{stage}: nothing to do{left}{also}")
        return
    counts = done.layer.counts()
    parts = [f"{done.images} images done", f"{counts.images} in {done.layer.name}/"]
    parts += [f"{n} {SPLITS[name]}" for name, n in sorted(counts.splits.items()) if name in SPLITS]
    if STAGES[stage].labels:
        parts.append(f"{counts.kept} objects")
        if counts.objects > counts.kept:
            parts.append(f"{counts.objects - counts.kept} rejected")
    if counts.errors:
        parts.append(f"{counts.errors} errors")
    if done.unread:
        parts.append(f"{done.unread} could not be read: the same command tries them again")
    if read and read.ignored:
        parts.append(f"{read.ignored} other files left alone")
    message(f"{stage}: {', '.join(parts)}{also}")


def _left_out(done: IngestResult) -> str:
    parts = []
    if done.held_out:
        near = f", {done.near_held_out} near them" if done.near_held_out else ""
        parts.append(f", {done.held_out} held-out photos{near}")
    if done.ours:
        parts.append(f", {done.ours} files that autolabel wrote left alone")
    return "".join(parts)


MOST_FILES = 5
"""Files that failed, named at once; `status --errors` names all."""


def files_failed(failed: Sequence[tuple[str, str]], workspace: Path) -> None:
    """Name the first files that failed, each with the reason."""
    for file, reason in failed[:MOST_FILES]:
        message(f"  {one_line(file)}: {one_line(reason)}")
    if len(failed) > MOST_FILES:
        more = len(failed) - MOST_FILES
        message(f"  and {more} more; autolabel status {workspace} --errors names all")


SPLITS = {"leak": "leaks", "duplicate": "duplicates", "excluded": "excluded", "gone": "gone"}


def trials(rows: Sequence[Trial], labels: Mapping[str, int], as_json: bool) -> None:
    """Show what each rule of the filter would reject, of how many labels, and what is left.

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


def previewed(done: PreviewResult, as_json: bool) -> None:
    """Say what a preview shows."""
    if as_json:
        data(plain(done))
        return
    counts = f"{done.kept} kept and {done.rejected} rejected labels"
    if done.unread:
        counts += f"; {done.unread} images could not be read"
    message(f"preview: {len(done.files)} pictures of {counts} -> {done.out}")


def reported(done: ReportResult, as_json: bool, **also: int) -> None:
    """Say what a report says, and where it is."""
    if as_json:
        data({"verdict" if k == "conclusions" else k: v for k, v in plain(done).items()} | also)
        return
    message(f"report: {done.conclusions}")
    parts = [f"{done.size / 1e6:.1f} MB"]
    if done.photos_gone:
        parts.append(f"{done.photos_gone} photos are gone")
    if done.pictures_left_out:
        parts.append(f"{done.pictures_left_out} pictures left out")
    message(f"report: {', '.join(parts)} -> {done.out}")


def trained(done: TrainResult, as_json: bool, **also: int) -> None:
    """Say what a student learned from, and where it is."""
    if done.unlearned and done.fresh:
        listed = ", ".join(done.unlearned)
        message(f"warning: no label to learn from, so that it will not be found: {listed}")
    if as_json:
        data({**plain(done), **also})
        return
    if not done.fresh:
        kept = f", kept from {done.held_out} held-out photos" if done.held_out else ""
        message(f"train: nothing to do, {done.weights} is complete{kept}")
        return
    parts = [f"{done.epochs} epochs on {done.images} images with {done.objects} objects"]
    if done.resumed_from is not None:
        parts.append(f"resumed after epoch {done.resumed_from}")
    chosen = f"the best of them by {done.val_images} other auto-labelled images"
    parts.append(chosen if done.val_images else "no image could be spared to choose the best")
    parts += [f"{n} {SPLITS.get(reason, reason)} left out" for reason, n in done.skipped.items()]
    if done.held_out:
        parts.append(f"kept from {done.held_out} held-out photos")
    if done.rewritten:
        parts.append(f"{done.rewritten} images written anew for it, upright, as 8-bit RGB")
    if done.threshold:
        why = done.threshold.get("why")
        parts.append(
            f"to be used from score {done.threshold['score']:g}" + (f", as {why}" if why else "")
        )
    message(f"train: {', '.join(parts)} -> {done.weights}")


_LOST = {
    "masks": "{} masks",
    "holes": "the holes of {} masks (--coco-masks rle keeps them)",
    "boxes_as_outlines": "the masks of {} objects that have none: their boxes stand for them",
    "boxes": "the boxes of {} masks that they do not fit: the box around the mask stands for it",
    "seams": "the separate outlines of {} masks of several parts or with holes: seams join them",
    "scores": "{} scores",
    "empty_images": "{} images without objects",
    "corrections": "that a person corrected {} objects",
    "evidence": "the evidence of {} objects",
    "rejected": "{} rejected objects",
    "dropped": "{} objects of dropped classes",
    "repeated": "{} objects with the box of a better one of a merged class",
}
"""What an export loses -> how it is said."""


def _listed(names: Sequence[str], most: int = 10) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return one_line(", ".join(names[:most])) + more


def class_ids(names: Sequence[str]) -> None:
    """Say which class has which id."""
    message(f"  ids of the classes: {_listed([f'{i} {name}' for i, name in enumerate(names)])}")


def exported(done: ExportResult, as_json: bool, **also: int) -> None:
    """Say what an export wrote."""
    from autolabel.datasets.task import AS_ASKED

    if as_json:
        data({**plain(done), **also})
        return
    parts = [f"{done.images} images", f"{done.objects} objects"]
    if len(done.splits) > 1:
        parts[0] += f" ({', '.join(f'{n} {split}' for split, n in done.splits.items())})"
    parts += [f"{n} {reason}" for reason, n in done.skipped.items()]
    if done.empty_boxes:
        parts.append(f"{done.empty_boxes} boxes without area left out")
    if done.rewritten:
        parts.append(f"{done.rewritten} images written anew, upright, as 8-bit RGB")
    message(f"task: {done.task}, {done.reason}")
    message(f"export: {', '.join(parts)} -> {done.out}")
    if done.lost:
        lost = ", ".join(_LOST.get(what, f"{{}} {what}").format(n) for what, n in done.lost.items())
        message(f"  not in these files: {lost}")
        if "masks" in done.lost and done.reason == AS_ASKED:
            message("  --task segment writes masks")
    if done.unused:
        names = _listed(done.unused)
        message(f"  no object of: {names}; each keeps its id, and --drop leaves one out")
    if done.renumbered:
        ids = {name: i for i, name in enumerate(done.classes)}
        moved = [f"{name} {ids[name]} (was {was})" for name, was in done.renumbered.items()]
        message(f"  ids have no gaps, and so are others here: {_listed(moved)}")
    for line in done.problems[:10]:
        message(f"  left out: {one_line(line)}")
    if len(done.problems) > 10:
        message(f"  and {len(done.problems) - 10} more")
