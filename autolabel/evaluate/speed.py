"""How many images a second teacher and student work on, on the same device and the same photos.

Both get decoded pixels, in batches of the size that is asked for or else suits each; loading and a
first batch to warm up are not counted. What is timed is the model's own work with its preparation
of the pixels, and so neither reading files nor writing labels. A machine is not equally quick all
the time: each stage of the teacher takes turns with each student, several times over, and what is
said of their ratio is the median of the rounds, the least and the most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import fmean, median
from typing import Any

from autolabel.config import EngineConfig
from autolabel.engine.base import Stage, batch_size_of
from autolabel.engine.local import cores
from autolabel.engine.pixels import with_pixels
from autolabel.evaluate.predictions import MAX_OBJECTS, load_trained
from autolabel.evaluate.students import TrainedStudent
from autolabel.metrics.result import Speed
from autolabel.stages.history import manifests_of, ontology_of, options_of
from autolabel.stages.running import existing_root, locate
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace
from autolabel.types import Record

REPEATS = 5
"""Rounds of each stage and each student in turn."""

AT_LEAST = 0.2
"""Seconds of one round of one model; what is quicker does its photos again, so that the clock and
the machine's moods matter less."""

AT_MOST = 6.0
"""Seconds after which a first round ends with its batch; later rounds work on the same photos."""

ENOUGH = 30.0
"""Seconds of a stage after which no further round is begun."""


def time_all(
    home: Workspace,
    labels: Layer,
    students: Sequence[tuple[TrainedStudent, float]],
    wanted: set[str],
    engine: EngineConfig,
    *,
    most: int,
) -> tuple[Speed, float | None] | None:
    """Time the teacher pipeline that made `labels`, and each student.

    Args:
        home: the workspace with the photos, `labels` and the layers that they were made from.
        labels: what the pipeline ends with.
        students: to be timed, each with its operating threshold.
        wanted: `image_id` of photos to take.
        engine: device and batch size.
        most: how many photos to take.

    Returns:
        The speeds, and images/s of the detector alone; None where there is no photo to take, or no
        model made the labels.

    Raises:
        AutolabelError: a model is no longer to be found, or has changed.
    """
    root = existing_root(home)
    photos = _photos(home, root, wanted, most)
    if not photos:
        return None
    images = [record.image() for record in photos]
    calls: dict[str, _Call] = {}
    for student, threshold in students:
        predict = load_trained(student, engine.device).predict
        once = partial(predict, min_score=threshold, max_objects=MAX_OBJECTS)
        calls[student.name] = _Call(once, images)
    sizes = {name: batch_size_of(call.call, engine.batch_size) for name, call in calls.items()}
    stages: dict[str, list[_Round]] = {}
    for name, stage, records in _stages(labels, photos, engine.device):
        todo = [record for record in records if stage.wants(record)]
        if todo:  # seconds an image also over those that the stage has nothing to do for
            turns = {"": _Call(stage, todo, len(todo) / len(records)), **calls}
            stages[name] = _in_turns(turns, engine.batch_size)
            sizes = {name: batch_size_of(stage, engine.batch_size), **sizes}
    if not stages:
        return None
    raw = 1 / median(one[""] for one in stages["detect"]) if "detect" in stages else None
    about: dict[str, Any] = {
        **_machine(engine),
        "batch_sizes": sizes,
        "images": len(photos),
        "image_sizes": _sizes(images),
    }
    return Speed(**about, **_summary(list(stages.values()), list(calls))), raw


def _summary(stages: Sequence[Sequence[_Round]], names: Sequence[str]) -> dict[str, Any]:
    """Rates and ratios over the rounds that every stage had.

    Within a round, a ratio compares each stage with the student's own time beside it, and adds up.
    """
    rounds = range(min(map(len, stages)))
    teacher = [sum(stage[i][""] for stage in stages) for i in rounds]
    students = {n: [fmean(stage[i][n] for stage in stages) for i in rounds] for n in names}
    faster = {
        n: [sum(stage[i][""] / stage[i][n] for stage in stages) for i in rounds] for n in names
    }
    return {
        "repeats": len(rounds),
        "teacher": 1 / median(teacher),
        "students": {n: 1 / median(seconds) for n, seconds in students.items()},
        "times_faster": {n: median(times) for n, times in faster.items()},
        "times_faster_range": {n: [min(times), max(times)] for n, times in faster.items()},
        "rounds": {
            "teacher_seconds_per_image": teacher,
            "student_seconds_per_image": students,
            "times_faster": faster,
        },
    }


def _machine(engine: EngineConfig) -> dict[str, Any]:
    from autolabel.models import machine
    from autolabel.models.device import resolve

    device = resolve(engine.device)
    return {
        "device": str(device),
        "processor": machine.processor(device),
        "cores": cores(),
        "threads": machine.threads(),
        "batch_size": engine.batch_size or None,  # each model its own
    }


def _sizes(images: Sequence[Any]) -> list[list[int]]:
    """Return width and height of the smallest and the largest image; one where they are alike."""
    sizes = sorted({(i.shape[0] * i.shape[1], i.shape[1], i.shape[0]) for i in images})
    return [list(size[1:]) for size in dict.fromkeys((sizes[0], sizes[-1]))]


def device_name(name: str) -> str:
    """Return what `auto` means here; any other device by its own name."""
    if name != "auto":
        return name
    from autolabel.models.device import resolve

    return str(resolve(name))


def _photos(home: Workspace, root: Path, wanted: set[str], most: int) -> list[Record]:
    usable = (r for r in home.require("images").records() if r.usable and r.image_id in wanted)
    return [with_pixels(record, root) for record in islice(usable, most)]


def _stages(
    labels: Layer, photos: Sequence[Record], device: str
) -> Iterator[tuple[str, Stage, Sequence[Record]]]:
    """Make each stage that runs a model, with the records that it worked on, one at a time."""
    ontology = ontology_of(labels)
    for manifest in reversed(manifests_of(labels)):
        entry = STAGES.get(manifest.stage)
        if entry is None or not entry.models or manifest.source is None:
            continue
        source = manifest.source["layer"]
        records = photos
        if source != "images":
            records = _joined(Layer(labels.path.parent / source, ""), photos)
        config = options_of(manifest)
        for name, stage in entry.timed(config, ontology, locate(entry, config), device):
            yield name, stage, records


def _joined(source: Layer, photos: Sequence[Record]) -> list[Record]:
    """Return the photos with the objects that `source` has in them."""
    ids = {record.image_id for record in photos}
    known = {r.image_id: r.objects for r in source.records() if r.image_id in ids}
    return [replace(r, objects=known[r.image_id]) for r in photos if r.image_id in known]


@dataclass(frozen=True)
class _Call:
    """One thing to time.

    Attributes:
        call: takes a batch.
        items: what it works on.
        share: of the photos that these are.
    """

    call: Callable[[Any], Any]
    items: Sequence[Any]
    share: float = 1.0


_Round = Mapping[str, float]
"""Seconds a photo, by what was timed; the stage is ``""``."""


def _in_turns(calls: Mapping[str, _Call], batch_size: int) -> list[_Round]:
    """Time each of them in turn, several times over, after a first batch that is not counted."""
    sizes = {name: batch_size_of(one.call, batch_size) for name, one in calls.items()}
    batches = {
        name: [one.items[i : i + sizes[name]] for i in range(0, len(one.items), sizes[name])]
        for name, one in calls.items()
    }
    for name, one in calls.items():
        one.call(batches[name][0])
    rounds: list[_Round] = []
    start = time.perf_counter()
    while len(rounds) < REPEATS and not (rounds and time.perf_counter() - start > ENOUGH):
        seconds = {}
        for name, one in calls.items():
            per_item, used = _timed(one.call, batches[name], limited=not rounds)
            batches[name] = batches[name][:used]
            seconds[name] = per_item * one.share
        rounds.append(seconds)
    return rounds


def _timed(
    call: Callable[[Any], Any], batches: Sequence[Sequence[Any]], *, limited: bool
) -> tuple[float, int]:
    """Seconds for one item, and how many of the batches were worked on."""
    start = time.perf_counter()
    done = 0
    while True:
        for used, batch in enumerate(batches, 1):
            call(batch)
            done += len(batch)
            if limited and time.perf_counter() - start > AT_MOST:
                return (time.perf_counter() - start) / done, used
        if time.perf_counter() - start >= AT_LEAST:
            return (time.perf_counter() - start) / done, len(batches)
