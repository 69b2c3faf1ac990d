"""How many images a second teacher and student work on, on the same device and the same photos.

Both get decoded pixels, in batches of one size; loading and a first batch to warm up are not
counted. What is timed is the model's own work with its preparation of the pixels, and so neither
reading files nor writing labels.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from autolabel import pipeline, registry
from autolabel.compare.aside import filter_config
from autolabel.compare.students import MAX_OBJECTS, Entrant, load
from autolabel.config import DetectConfig, EngineConfig, RefineConfig
from autolabel.engine.base import Stage
from autolabel.filtering.gather import TASKS
from autolabel.ontology import Ontology
from autolabel.stages.detect import Detect
from autolabel.stages.embed import Embed
from autolabel.stages.pixels import with_pixels
from autolabel.stages.refine import Refine
from autolabel.store import Layer, Manifest, Workspace
from autolabel.types import Record

AT_LEAST = 1.0
"""Seconds; what is quicker is repeated, so that the clock and the machine's moods matter less."""

ENOUGH = 30.0
"""Seconds after which no further batch is begun."""


def time_all(
    home: Workspace,
    labels: Layer,
    students: Sequence[Entrant],
    wanted: set[str],
    engine: EngineConfig,
    *,
    most: int,
    min_score: float,
) -> tuple[dict[str, Any], float] | None:
    """The speed of the teacher pipeline that made `labels`, and of each student.

    Args:
        home: the workspace with the photos, `labels` and the layers that they were made from.
        labels: what the pipeline ends with.
        students: to be timed.
        wanted: `image_id` of photos to take.
        engine: device and batch size.
        most: how many photos to take.
        min_score: lowest score that a student gives; its operating point.

    Returns:
        What ``result.json`` holds under ``speed``, and images/s of the detector alone; None where
        there is no photo to take.

    Raises:
        AutolabelError: a model is no longer to be found, or has changed.
    """
    root = pipeline.existing_root(home)
    photos = _photos(home, root, wanted, most)
    if not photos:
        return None
    seconds = {
        name: _seconds(stage, records, engine.batch_size)
        for name, stage, records in _stages(labels, photos, root, engine.device)
    }
    teacher = 1 / sum(seconds.values())
    images = [record.image() for record in photos]
    rates: dict[str, float] = {}
    for entrant in students:
        predict = partial(
            load(entrant, engine.device).predict, min_score=min_score, max_objects=MAX_OBJECTS
        )
        rates[entrant.name] = 1 / _per_item(predict, images, engine.batch_size)
    result = {
        "device": device_name(engine.device),
        "batch_size": engine.batch_size,
        "images": len(photos),
        "teacher": teacher,
        "students": rates,
        "times_faster": {name: rate / teacher for name, rate in rates.items()},
    }
    return result, 1 / seconds["detect"]


def device_name(name: str) -> str:
    """What `auto` means here; any other device by its own name."""
    if name != "auto":
        return name
    from autolabel.models.device import resolve

    return str(resolve(name))


def _photos(home: Workspace, root: Path, wanted: set[str], most: int) -> list[Record]:
    usable = (r for r in home.require("images").records() if r.usable and r.image_id in wanted)
    return [with_pixels(record, root) for record in islice(usable, most)]


def _stages(
    labels: Layer, photos: Sequence[Record], root: Path, device: str
) -> Iterator[tuple[str, Stage, Sequence[Record]]]:
    """Each stage that runs a model, with the records that it worked on; one is loaded at a time."""
    ontology = pipeline.ontology_of(labels)
    for manifest in reversed(pipeline.history(labels)):
        if manifest.stage in _MODELS and manifest.source is not None:
            source = Layer(labels.path.parent / manifest.source["layer"], "")
            records = photos if manifest.stage == "detect" else _joined(source, photos)
            for name, stage in _MODELS[manifest.stage](manifest, ontology, root, device):
                yield name, stage, records


def _joined(source: Layer, photos: Sequence[Record]) -> list[Record]:
    """The photos with the objects that `source` has in them."""
    ids = {record.image_id for record in photos}
    known = {r.image_id: r.objects for r in source.records() if r.image_id in ids}
    return [replace(r, objects=known[r.image_id]) for r in photos if r.image_id in known]


def _detect(
    manifest: Manifest, ontology: Ontology, root: Path, device: str
) -> Iterator[tuple[str, Stage]]:
    config = DetectConfig.model_validate(pipeline.replayed("detector", manifest))
    located = registry.locate("detector", config.model)
    yield "detect", Detect(config, ontology, located, root, device)


def _refine(
    manifest: Manifest, ontology: Ontology, root: Path, device: str
) -> Iterator[tuple[str, Stage]]:
    config = RefineConfig.model_validate(pipeline.replayed("segmenter", manifest))
    located = registry.locate("segmenter", config.model)
    yield "refine", Refine(config, located, root, device)


def _filter(
    manifest: Manifest, ontology: Ontology, root: Path, device: str
) -> Iterator[tuple[str, Stage]]:
    """The embedders; beside them the rules take no time to speak of."""
    config = filter_config(manifest)
    for name, task in TASKS.items():
        if at := getattr(config, name):
            yield name, Embed(registry.locate(task, at), config.context, root, device)


_MODELS: dict[str, Callable[[Manifest, Ontology, Path, str], Iterator[tuple[str, Stage]]]] = {
    "detect": _detect,
    "refine": _refine,
    "filter": _filter,
}


def _seconds(stage: Stage, records: Sequence[Record], batch_size: int) -> float:
    """Seconds an image, also over those that the stage has nothing to do for."""
    wanted = [record for record in records if stage.wants(record)]
    if not wanted:
        return 0.0
    return _per_item(stage, wanted, batch_size) * len(wanted) / len(records)


def _per_item(call: Callable[[Any], Any], items: Sequence[Any], batch_size: int) -> float:
    """Seconds for one of the items, after a first batch that is not counted."""
    batches = [items[i : i + batch_size] for i in range(0, len(items), batch_size)]
    call(batches[0])
    start = time.perf_counter()
    done = 0
    while True:
        for batch in batches:
            call(batch)
            done += len(batch)
            if time.perf_counter() - start > ENOUGH:
                return (time.perf_counter() - start) / done
        if time.perf_counter() - start >= AT_LEAST:
            return (time.perf_counter() - start) / done
