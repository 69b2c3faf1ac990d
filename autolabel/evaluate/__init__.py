"""Teacher, labels and students on the same hand-labelled photos: who is measured, and the result.

The figures themselves are made by `autolabel.metrics`; this room finds the photos, has them
labelled and predicted on where that is not done, and keeps the result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.datasets.ground_truth import GroundTruth
from autolabel.errors import AutolabelError
from autolabel.evaluate.entries import Call, Field, Say, find_field, known_to
from autolabel.evaluate.hand_label_baseline import SUFFIX
from autolabel.evaluate.own_boxes import are_the_same
from autolabel.evaluate.photos import find_evaluation_set
from autolabel.evaluate.speed import device_name, time_all
from autolabel.metrics.bootstrap import draw
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.measure import Measurement, differences, measure, shares
from autolabel.metrics.result import (
    RESULT,
    BaselineShare,
    Difference,
    EntryResult,
    Evaluation,
    Speed,
)
from autolabel.reading import read_json
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter, silent
from autolabel.store import Workspace, write_atomic

LABELLED = ("teacher", "labels")
"""Kinds of rows that the models made."""

DIFFERENCES = ("ap50", "ap", "ap75", "precision", "recall", "f1")


def _quiet(line: str) -> None:
    pass


def compare(
    workspace: Workspace,
    truth: GroundTruth,
    config: EvaluateConfig,
    engine: EngineConfig,
    report: Reporter = silent,
    *,
    newest: str | None = None,
    say: Say = _quiet,
) -> Evaluation:
    """Measure the teacher's boxes, the labels and the students on the same hand-labelled photos.

    Photos that were held out are labelled and predicted on aside; what is done is not done again,
    and the same things measured by the same options give the result that is there.

    Args:
        workspace: has labels.
        truth: the hand labels that `config` names.
        config: what to measure, and how.
        engine: how models run.
        report: called when work begins.
        newest: the layer of labels to measure beside the raw boxes; the newest by default.
        say: called with a line for people.

    Returns:
        The result, which `RESULT` keeps.

    Raises:
        AutolabelError: photos, classes or models do not fit, or something else has changed the
            result that is there.
    """
    if truth.repeated:
        say(f"evaluate: {truth.repeated} of the hand-labelled images are listed again: once counts")
    field = find_field(Call(workspace, config, engine, report, say, newest), truth)
    key = _key(field, config, engine)
    kept = workspace.path / RESULT
    known = _known(kept)
    if known.get("key") == key:
        return _believed(known.get("result"), kept)
    result = _measured(workspace, field, truth, config, engine, say)
    kept.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": key, "result": result.as_json()}, indent=1, ensure_ascii=False)
    write_atomic(kept, text.encode())
    return result


# -- the result -------------------------------------------------------------------------------


def _measured(
    workspace: Workspace,
    field: Field,
    truth: GroundTruth,
    config: EvaluateConfig,
    engine: EngineConfig,
    say: Say,
) -> Evaluation:
    layers = [row.layer.records() for row in field.rows]
    ontology = ontology_of(field.labels)
    photos, found = find_evaluation_set(layers, truth, ontology, known_to(truth, config))
    for row, objects in zip(field.rows, found, strict=True):
        if row.kind in LABELLED and are_the_same(objects, photos):
            raise AutolabelError(
                f"the labels in {config.truth} are the very boxes of {row.name}/, and so no hand "
                "labels",
                hint="name labels that people drew",
            )
    weights = draw(len(photos.names), config.bootstrap, config.seed)
    measured = {
        row.name: measure(
            objects, photos, score_threshold=row.threshold, iou=config.iou, weights=weights,
            worst=config.worst,
        )
        for row, objects in zip(field.rows, found, strict=True)
    }  # fmt: skip
    speed, rates = _speed(field, photos, config, engine, say)
    rows = [
        EntryResult(
            name=row.name,
            kind=row.kind,
            layer=row.layer.name,
            **dict(measured[row.name].figures),
            images_per_second=rates.get(row.name),
        )
        for row in field.rows
    ]
    return Evaluation(
        truth=config.truth,
        images=len(photos.names),
        iou=config.iou,
        class_map=config.class_map,
        bootstrap=config.bootstrap,
        classes=list(photos.classes),
        classes_without_truth=list(photos.unknown),
        without_truth=photos.without_truth,
        unmatched=[u.name for u in photos.unmatched],
        unmatched_reasons={u.name: u.reason for u in photos.unmatched},
        workspace=field.home.path.relative_to(workspace.path).as_posix(),
        device=device_name(engine.device),
        rows=rows,
        differences=_differences(field, measured),
        reference=_reference(field, measured),
        speed=speed,
        notes=[*field.notes, *_empty(rows)],
    )


def _differences(field: Field, measured: Mapping[str, Measurement]) -> list[Difference]:
    """Labels minus raw boxes, and each student minus the labels; paired, on the same photos."""
    labelled = [row.name for row in field.rows if row.kind in LABELLED]
    pairs = [(labelled[1], labelled[0])] if len(labelled) > 1 else []
    pairs += [
        (row.name, labelled[-1]) for row in field.rows if row.kind in ("student", "reference")
    ]
    if field.reference is not None:
        pairs.append((field.reference.of.name, f"{field.reference.of.name} {SUFFIX}"))
    return [
        Difference(
            of=of,
            minus=minus,
            figures=differences(measured[of], measured[minus], DIFFERENCES),
        )
        for of, minus in pairs
    ]


def _reference(field: Field, measured: Mapping[str, Measurement]) -> BaselineShare | None:
    """Which share of the hand-labelled student's figures the auto-labelled one reaches."""
    if field.reference is None:
        return None
    of, minus = field.reference.of.name, f"{field.reference.of.name} {SUFFIX}"
    return BaselineShare(
        of=of,
        minus=minus,
        share=shares(measured[of], measured[minus], DIFFERENCES),
        images=field.reference.images,
        possible=field.reference.possible,
    )


def _speed(
    field: Field, photos: EvaluationSet, config: EvaluateConfig, engine: EngineConfig, say: Say
) -> tuple[Speed | None, dict[str, float | None]]:
    """What ``speed`` holds, and images/s by row; nothing without a student to compare with."""
    if not field.students or not config.speed_images:
        return None, {}
    uris = set(photos.uris)
    wanted = {r.image_id for r in field.home.require("images").records() if r.uri in uris}
    say("evaluate: timing teacher and students")
    timed = time_all(
        field.home, field.labels,
        [(student, student.operating_point(config)) for student in field.students],
        wanted, engine, most=config.speed_images,
    )  # fmt: skip
    if timed is None:
        return None, {}
    speed, raw = timed
    rates = {**speed.students, field.labels.name: speed.teacher}
    if field.labels.name != "detect" and raw is not None:
        rates["detect"] = raw
    if field.reference is not None:  # the same network
        rates[f"{field.reference.of.name} {SUFFIX}"] = rates[field.reference.of.name]
    return speed, rates


def _empty(rows: list[EntryResult]) -> list[str]:
    """A line for each thing that found nothing, and for hand labels that hold nothing."""
    notes = [
        f"{row.name} has nothing at its operating point, score {row.score_threshold:g}."
        for row in rows
        if row.classes and not any(one.predicted for one in row.classes.values())
    ]
    first = rows[0].classes
    bare = [name for name, one in first.items() if not one.truth]
    if first and len(bare) == len(first):
        return [
            *notes,
            "The hand labels hold no object in these photos: AP and recall say nothing.",
        ]
    notes += [f"No {name!r} is labelled by hand in these photos." for name in bare]
    return notes


# -- what was measured before -----------------------------------------------------------------


def _key(field: Field, config: EvaluateConfig, engine: EngineConfig) -> str:
    """Changes when anything does that is measured, or how it is."""
    parts = [f"{row.name} {row.layer.fingerprint()} {row.threshold}" for row in field.rows]
    parts += [config.model_dump_json(), engine.device, str(engine.batch_size)]
    parts += [_stamp(Path(path)) for path in (config.truth, config.reference) if path]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _known(kept: Path) -> dict[str, Any]:
    """The last result; one that is damaged or that an older version wrote is none."""
    try:
        known = read_json(kept)
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _believed(result: Any, kept: Path) -> Evaluation:
    """An earlier result, unless something else has changed it."""
    try:
        return Evaluation.model_validate(result)
    except ValidationError:
        raise AutolabelError(
            f"{kept} is damaged", hint="delete it, and run the same command again"
        ) from None


def _stamp(truth: Path) -> str:
    """Changes when the hand labels do."""
    files = sorted(truth.rglob("*")) if truth.is_dir() else [truth]
    stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.is_file()]
    return json.dumps(stats)
