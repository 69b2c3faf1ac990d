"""What the numbers say, in sentences for people who do not know the terms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from autolabel.metrics.result import EntryResult, Evaluation
from autolabel.report.layer_statistics import LayerStatistics
from autolabel.report.page.numbers import photos, spread, times
from autolabel.report.results import LABELS, STUDENT, Training, last_of

WIDE = 0.12
"""Width of a 95 % interval from which the page warns that the figure is not known well."""

USELESS = 0.05
"""AP50 below which a detector is of no use, however fast it is."""

NOTABLE = 0.01
"""By how much precision or recall must be lower for the page to say that it fell."""

FEW = 30
"""Hand-labelled objects of a class below which its figures say little."""


@dataclass(frozen=True)
class Conclusions:
    """Two sentences, and what to be careful about."""

    sentences: tuple[str, str]
    cautions: tuple[str, ...]
    known: bool


def conclude(
    statistics: LayerStatistics,
    names: Sequence[str],
    measured: Evaluation | None,
    trainings: Sequence[Training],
    notes: Sequence[str] = (),
) -> Conclusions:
    """Judge what is known.

    Args:
        statistics: of the labels that the page is about.
        names: the classes.
        measured: the last evaluation, if there is one.
        trainings: the students.
        notes: what else to be careful about, found elsewhere.
    """
    labels, student = last_of(measured, LABELS), last_of(measured, STUDENT)
    first = _labels(labels, measured.images) if measured and labels else _unknown(statistics)
    if student is None:
        second = _no_student(statistics, trainings)
    else:
        second = f"{_student(student, labels, measured)}{_in_use(student, labels)}"
    cautions = (*notes, *_gaps(statistics, names), *_doubts(measured, labels, student))
    return Conclusions((first, second), cautions, labels is not None)


def _labels(row: EntryResult, images: int) -> str:
    if row.recall is None:
        return (
            "The hand-labelled photos show no object of these classes, so they cannot tell how "
            "many the labels find."
        )
    marked = f"Of 100 objects that people marked on {photos(images)}"
    found = f"{marked}, the labels find {_of_hundred(row.recall)}"
    if row.precision is None:
        return f"{found}: there is not one label on the hand-labelled photos."
    return f"{found}, and of 100 labels {_of_hundred(row.precision)} are right."


def _of_hundred(share: float) -> str:
    whole = round(100 * share)
    if share in (0, 1):
        return "none" if share == 0 else "all"
    return "fewer than 1" if whole == 0 else "nearly all" if whole == 100 else f"about {whole}"


def _unknown(statistics: LayerStatistics) -> str:
    made = sum(statistics.kept.values())
    if not made:
        return (
            "There are no labels to judge, and no hand labels were compared, so nothing is known "
            "about correctness."
        )
    return (
        f"Nothing is known about whether these {made:,} labels are right: they were not compared "
        "with hand labels."
    )


def _student(row: EntryResult, labels: EntryResult | None, measured: Evaluation | None) -> str:
    if row.ap50 is None:
        return f"Nothing is known about the small detector {row.name}: it has no AP50."
    figure = f"AP50 {row.ap50:.2f}"
    if row.ap50 < USELESS:
        return f"The small detector has learned next to nothing ({figure}): do not use it."
    if labels is not None and labels.ap50:
        share = row.ap50 / labels.ap50
        verb = "keeps" if share <= 1.005 else "reaches"
        said = f"The small detector {verb} {round(100 * share)} % of the labels’ accuracy"
        said += f" ({figure} against {labels.ap50:.2f})"
    else:
        said = f"The small detector reaches {figure}"
    speed = measured.speed if measured else None
    factor = speed.times_faster.get(row.name) if speed else None
    if speed is None or factor is None:
        return said + "."
    if factor >= 1.05:
        ends = speed.times_faster_range.get(row.name)
        between = f" ({times(ends[0])} to {times(ends[1])})" if ends else ""
        return f"{said} and is {times(factor)}{between} times as fast as the large models."
    return f"{said} but is no faster than the large models."


def _in_use(row: EntryResult, labels: EntryResult | None) -> str:
    """Tell precision and recall where the detector is used, and plainly which of them fell."""
    if row.recall is None or (row.ap50 or 0) < USELESS:
        return ""
    start = f" Used from score {row.score_threshold:.2f} up, "
    if row.precision is None:
        return f"{start}it finds nothing on the hand-labelled photos."
    said = f"{start}its precision is {row.precision:.2f} and its recall {row.recall:.2f}"
    if labels is None or labels.precision is None or labels.recall is None:
        return f"{said}."
    said += f", those of the labels {labels.precision:.2f} and {labels.recall:.2f}"
    fell = []
    if labels.precision - row.precision >= NOTABLE:
        fell.append(
            f"Precision fell: of 100 boxes that it draws {_of_hundred(row.precision)} are right, "
            f"of 100 labels {_of_hundred(labels.precision)}."
        )
    if labels.recall - row.recall >= NOTABLE:
        fell.append(
            f"Recall fell: of 100 objects it finds {_of_hundred(row.recall)}, the labels "
            f"{_of_hundred(labels.recall)}."
        )
    return " ".join([f"{said}.", *fell])


def _no_student(statistics: LayerStatistics, trainings: Sequence[Training]) -> str:
    if trainings:
        named = trainings[-1].name
        return f"A small detector ({named}) was trained, but nothing is known about how good it is."
    made = sum(statistics.kept.values())
    if not made:
        lost = sum(statistics.rejected.values())
        why = f"all {lost:,} were rejected" if lost else "the models found nothing"
        return f"No label was kept on {photos(statistics.usable)}: {why}."
    on = photos(statistics.usable)
    return f"There are {made:,} labels on {on}; no small detector is trained yet."


def _gaps(statistics: LayerStatistics, names: Sequence[str]) -> Iterator[str]:
    """Name classes without a label."""
    without = [name for name in names if not statistics.kept[name]]
    if without and len(without) < len(names):
        lost = statistics.rejected_by_class
        for name in without:
            why = f"all {lost[name]:,} found were rejected" if lost[name] else "none was found"
            yield f"No label of “{name}” is kept: {why}. Nothing can be learned of it."


def _doubts(
    measured: Evaluation | None, labels: EntryResult | None, student: EntryResult | None
) -> Iterator[str]:
    """Yield what the hand labels do not tell, or tell badly."""
    if measured is None:
        yield (
            "Before you use these labels, mark 50 to 100 photos by hand and run autolabel "
            "evaluate with them. The pictures below prove nothing."
        )
        return
    for row, called in ((labels, "the labels"), (student, "the small detector")):
        interval = row.intervals.get("ap50") if row else None
        if interval and interval[1] - interval[0] > WIDE:
            yield (
                f"The AP50 of {called} is not known well: on other photos of this kind it may be "
                f"anything from {spread(interval)}. More hand-labelled photos than "
                f"{measured.images:,} would tell."
            )
    if not measured.bootstrap:
        yield "No intervals were computed, so nobody knows how much of the figures is chance."
    for name in measured.classes_without_truth:
        yield f"Nothing is known about “{name}”: the hand labels do not have this class."
    yield from _weak(labels)
    if measured.unmatched_reasons:
        yield (
            f"{photos(len(measured.unmatched_reasons))} with hand labels could not be compared: "
            f"{'; '.join(dict.fromkeys(measured.unmatched_reasons.values()))}."
        )


def _weak(row: EntryResult | None) -> Iterator[str]:
    """Name classes that are measured on little, or are labelled badly."""
    for name, figures in (row.classes if row else {}).items():
        if not figures.truth:
            yield f"“{name}” is not on the hand-labelled photos: how many are found is not known."
            continue
        if figures.truth < FEW:
            yield f"“{name}” is measured on {figures.truth} hand-labelled objects only."
        bad = []
        if figures.recall is not None and figures.recall < 0.5:
            bad.append(f"of 100 people marked, {_of_hundred(figures.recall)} are found")
        if figures.precision is not None and figures.precision < 0.5:
            bad.append(f"of 100 labels, {_of_hundred(figures.precision)} are right")
        if bad:
            yield f"“{name}” is weak: {'; '.join(bad)}."
