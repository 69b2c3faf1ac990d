"""The figures of all entries on one evaluation set, put together as one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from autolabel.config import EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth
from autolabel.errors import AutolabelError
from autolabel.evaluate.entries import LABELLED, Entries, Request, classes_about
from autolabel.evaluate.own_boxes import are_the_same
from autolabel.evaluate.photos import find_evaluation_set
from autolabel.evaluate.speed import device_name, time_all
from autolabel.metrics.bootstrap import draw
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.measure import Measurement, differences, measure, shares
from autolabel.metrics.result import BaselineShare, Difference, EntryResult, Evaluation, Speed
from autolabel.stages.history import ontology_of
from autolabel.types import Objects

COMPARED = ("ap50", "ap", "ap75", "precision", "recall", "f1")
"""Figures whose differences and shares are in the result."""

BARE = "The hand labels hold no object in these photos: AP and recall say nothing."


def measure_all(request: Request, entries: Entries, truth: GroundTruth) -> Evaluation:
    """Measure every entry on the photos that all of them have looked at.

    Raises:
        AutolabelError: they have no hand-labelled photo in common, or the hand labels are the very
            boxes of one of them.
    """
    config, ontology = request.config, ontology_of(entries.labels)
    layers = [one.layer.records() for one in entries.all]
    against, found = find_evaluation_set(layers, truth, ontology, classes_about(truth, config))
    _refuse_own_labels(config, entries, against, found)
    measured = _measured(config, entries, against, found)
    speed, rates = _timed(request, entries, against)
    rows = [
        EntryResult(
            name=one.name,
            kind=one.kind,
            layer=one.layer.name,
            **dict(measured[one.name].figures),
            images_per_second=rates.get(one.name),
        )
        for one in entries.all
    ]
    return Evaluation(
        truth=config.truth,
        images=len(against.names),
        iou=config.iou,
        class_map=config.class_map,
        bootstrap=config.bootstrap,
        classes=list(against.classes),
        classes_without_truth=list(against.unknown),
        without_truth=against.without_truth,
        unmatched=[one.name for one in against.unmatched],
        unmatched_reasons={one.name: one.reason for one in against.unmatched},
        workspace=entries.home.path.relative_to(request.workspace.path).as_posix(),
        device=device_name(request.engine.device),
        rows=rows,
        differences=_differences(entries, measured),
        reference=_baseline_share(entries, measured),
        speed=speed,
        notes=[*entries.notes, *_empty(rows)],
    )


def _refuse_own_labels(
    config: EvaluateConfig,
    entries: Entries,
    against: EvaluationSet,
    found: Sequence[Sequence[Objects]],
) -> None:
    for one, objects in zip(entries.all, found, strict=True):
        if one.kind in LABELLED and are_the_same(objects, against):
            raise AutolabelError(
                f"the labels in {config.truth} are the very boxes of {one.name}/, and so no hand "
                "labels",
                hint="name labels that people drew",
            )


def _measured(
    config: EvaluateConfig,
    entries: Entries,
    against: EvaluationSet,
    found: Sequence[Sequence[Objects]],
) -> dict[str, Measurement]:
    """Measure each entry, by name; all of them in the same bootstrap samples of the photos."""
    weights = draw(len(against.names), config.bootstrap, config.seed)
    return {
        one.name: measure(
            objects, against, score_threshold=one.threshold, iou=config.iou, weights=weights,
            worst=config.worst,
        )
        for one, objects in zip(entries.all, found, strict=True)
    }  # fmt: skip


def _differences(entries: Entries, measured: Mapping[str, Measurement]) -> list[Difference]:
    """Compare labels with raw boxes, and each student with the labels, on the same photos."""
    labelled = [one.name for one in entries.all if one.kind in LABELLED]
    pairs = [(labelled[1], labelled[0])] if len(labelled) > 1 else []
    pairs += [(one.name, labelled[-1]) for one in entries.all if one.kind not in LABELLED]
    if entries.baseline is not None:
        pairs.append((entries.baseline.of.name, entries.baseline.name))
    return [
        Difference(of=of, minus=minus, figures=differences(measured[of], measured[minus], COMPARED))
        for of, minus in pairs
    ]


def _baseline_share(entries: Entries, measured: Mapping[str, Measurement]) -> BaselineShare | None:
    baseline = entries.baseline
    if baseline is None:
        return None
    of, minus = baseline.of.name, baseline.name
    return BaselineShare(
        of=of,
        minus=minus,
        share=shares(measured[of], measured[minus], COMPARED),
        images=baseline.images,
        possible=baseline.possible,
    )


def _timed(
    request: Request, entries: Entries, against: EvaluationSet
) -> tuple[Speed | None, dict[str, float | None]]:
    """Return the speeds, and images/s by entry; nothing without a student to compare with."""
    config = request.config
    if not entries.students or not config.speed_images:
        return None, {}
    uris = set(against.uris)
    wanted = {r.image_id for r in entries.home.require("images").records() if r.uri in uris}
    request.say("evaluate: timing teacher and students")
    timed = time_all(
        entries.home, entries.labels,
        [(student, student.operating_point(config)) for student in entries.students],
        wanted, request.engine, most=config.speed_images,
    )  # fmt: skip
    if timed is None:
        return None, {}
    speed, raw = timed
    rates = {**speed.students, entries.labels.name: speed.teacher}
    if entries.labels.name != "detect" and raw is not None:
        rates["detect"] = raw
    if entries.baseline is not None:  # the same network
        rates[entries.baseline.name] = rates[entries.baseline.of.name]
    return speed, rates


def _empty(rows: Sequence[EntryResult]) -> list[str]:
    """Note each entry that found nothing, and each class without a hand label."""
    notes = [
        f"{row.name} has nothing at its operating point, score {row.score_threshold:g}."
        for row in rows
        if row.classes and not any(one.predicted for one in row.classes.values())
    ]
    first = rows[0].classes
    bare = [name for name, one in first.items() if not one.truth]
    if first and len(bare) == len(first):
        return [*notes, BARE]
    return [*notes, *(f"No {name!r} is labelled by hand in these photos." for name in bare)]
