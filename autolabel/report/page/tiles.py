"""The numbers that most people look for, large, at the head of the page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.metrics.result import Evaluation, Interval
from autolabel.report.layer_statistics import LayerStatistics
from autolabel.report.page.numbers import percent, spread, two_digits
from autolabel.report.results import LABELS, STUDENT, last_of
from autolabel.review.audit_result import AuditResult


@dataclass(frozen=True)
class Tile:
    """One number, large."""

    value: str
    label: str
    note: str = ""


def tiles(
    statistics: LayerStatistics, measured: Evaluation | None, audit: AuditResult | None = None
) -> list[Tile]:
    """Return the numbers that are known."""
    judged = _judged(audit) if audit and not audit.stale else ()
    return [*_labels(statistics), *judged, *(_figures(measured) if measured else ())]


def _labels(statistics: LayerStatistics) -> Iterator[Tile]:
    kept, lost = statistics.kept.total(), statistics.rejected.total()
    empty = f"{statistics.empty:,} without a label"
    yield Tile(f"{statistics.usable:,}", "photos labelled", empty)
    yield Tile(f"{kept:,}", "labels kept", f"{lost:,} rejected")


def _judged(audit: AuditResult) -> Iterator[Tile]:
    """Yield what people said of a random sample."""
    if audit.precision is not None:
        interval = _percents(audit.precision_interval)
        yield Tile(percent(audit.precision), "of labels right, judged blind", interval)


def _figures(measured: Evaluation) -> Iterator[Tile]:
    """Yield accuracy, speed, and what labelling by machine costs."""
    labels, student = last_of(measured, LABELS), last_of(measured, STUDENT)
    for row, label in ((labels, "labels"), (student, "small detector")):
        if row is not None:
            interval = row.intervals.get("ap50")
            yield Tile(two_digits(row.ap50), f"AP50, {label}", _interval(interval))
    if student is not None and student.precision is not None:
        start = two_digits(student.score_threshold)
        note = f"recall {two_digits(student.recall)}, from score {start}"
        yield Tile(two_digits(student.precision), "precision, small detector", note)
    if student is not None:
        yield from _speed(measured, student.name)
    share = measured.reference and measured.reference.share.get("ap50")
    if share and share.value is not None:
        yield Tile(percent(share.value), "of what hand labels give", _percents(share.interval))


def _speed(measured: Evaluation, student: str) -> Iterator[Tile]:
    speed = measured.speed
    if speed is None or (factor := speed.times_faster.get(student)) is None:
        return
    notes = []
    if between := speed.times_faster_range.get(student):
        notes.append(f"{between[0]:.1f} to {between[1]:.1f}")
    if rate := speed.students.get(student):
        notes.append(f"{rate:.1f} images/s on {speed.device}")
    yield Tile(f"{factor:.1f} ×", "as fast as the large models", "; ".join(notes))


def _interval(interval: Interval) -> str:
    return f"95 %: {spread(interval)}" if interval else ""


def _percents(interval: Interval) -> str:
    return f"95 %: {100 * interval[0]:.0f} to {percent(interval[1])}" if interval else "95 %: –"
