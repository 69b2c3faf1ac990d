"""The stage `filter`: its class, and the function that runs it over a workspace."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from autolabel.config import EngineConfig, FilterConfig, PipelineConfig
from autolabel.engine.base import Task
from autolabel.errors import UsageError, suggest
from autolabel.ontology import Ontology
from autolabel.registry import Located
from autolabel.stages import running
from autolabel.stages.embed import Embed
from autolabel.stages.filter.apply import RuleSet
from autolabel.stages.filter.examples import Probe
from autolabel.stages.filter.fit import Fitted, fit, read_joined
from autolabel.stages.filter.prototypes import Prototypes
from autolabel.stages.filter.table import GROUP, active, settings_of
from autolabel.stages.filter.texts import TextVectors
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter, StageResult, check_ready, run_stage, silent
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.types import EXCLUDED, Record


class Filter:
    """Keep or reject labels by the rules of the configuration; every rejection says why.

    Args:
        config: the rules.
        texts, prototypes, probe: see `RuleSet`.
        capped: image_id -> place among its near duplicates, for images beyond the cap.
    """

    def __init__(
        self,
        config: FilterConfig,
        texts: TextVectors | None = None,
        prototypes: Prototypes | None = None,
        probe: Probe | None = None,
        capped: Mapping[str, int] | None = None,
    ) -> None:
        self.config = config
        self.rules = RuleSet(config, texts, prototypes, probe)
        self.capped = capped or {}

    def wants(self, record: Record) -> bool:
        """Tell images of the pool."""
        return record.usable

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return the records with rejected labels marked and the evidence in their scores."""
        return [self._judged(record) for record in batch]

    def _judged(self, record: Record) -> Record:
        record = replace(self.rules.apply(record), vectors=None)
        place = self.capped.get(record.image_id)
        return record if place is None else _beyond(record, place, self.config.max_per_group)


def _beyond(record: Record, place: int, most: int) -> Record:
    """Take an image that has too many near duplicates before it out of the pool.

    Without its labels it would look like an image of nothing, so the whole image goes.
    """
    objects, figure = record.objects, f"{GROUP}: {place} > {most}"
    reason = np.where(objects.keep, figure, objects.reason)
    objects = replace(objects, keep=np.zeros(len(objects), bool), reason=reason)
    return replace(record, split=EXCLUDED, note=figure, objects=objects)


def filter_labels(
    workspace: Workspace,
    config: FilterConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    overwrite: bool = False,
    report: Reporter = silent,
    learned_from: Workspace | None = None,
) -> StageResult:
    """Sort labels into kept and rejected ones: the layer `filter`.

    Crops are embedded once per model into layers of their own, so that with other thresholds no
    model runs. What is learned over the whole dataset lies beside them.

    Args:
        workspace: has labels.
        config: the rules.
        engine: how it runs.
        from_layer: the labels; those of `refine` or else `detect` by default.
        overwrite: whether settings that differ from those of the layer replace them.
        report: called when work begins.
        learned_from: a filtered workspace whose fits are used; nothing is learned then.

    Raises:
        AutolabelError: there is no model or source layer, or the settings differ.
    """
    source_of(workspace, config, from_layer)
    with workspace.lock():
        source = source_of(workspace, config, from_layer)
        check_ready(workspace, source)
        fitted = fit(workspace, source, config, engine, report, learned_from=learned_from)
        capped = {} if learned_from else find_capped(source, config.max_per_group)
        origin = {**fitted.origin, "ontology": ontology_of(source).to_mapping()}
        manifest = replace(_binding(config, fitted.located), origin=origin)
        wanted = _wanted(source, fitted, capped)
        update = workspace.plan_update(
            "filter", bound_to(manifest, source), wanted, overwrite=overwrite
        )
        tasks = [_task(source, fitted, index, wanted[index]) for index in update.to_do]
        make = partial(Filter, config, fitted.texts, fitted.prototypes, fitted.probe, capped)
        layer = run_stage("filter", make, update, tasks, engine, report)
        return StageResult(layer, sum(task.images for task in tasks))


def bound(workspace: Workspace, config: FilterConfig) -> Manifest:
    """Return what binds the layer `filter` that is asked for, but for its source.

    Raises:
        AutolabelError: there is no model.
    """
    return _binding(config, running.locate(STAGES["filter"], config))


def _binding(config: FilterConfig, located: Mapping[str, Located]) -> Manifest:
    manifest = running.binding(STAGES["filter"], config, located)
    return replace(manifest, settings=settings_of(config))


def source_of(workspace: Workspace, config: FilterConfig, name: str | None) -> Layer:
    """Return the layer that is filtered: that of the name, or the newest.

    Raises:
        AutolabelError: there is none.
        UsageError: it cannot be filtered, or not so.
    """
    active(config)
    source = running.source_of(STAGES["filter"], workspace, name)
    check_classes(config, ontology_of(source))
    return source


def check(config: FilterConfig, pipeline: PipelineConfig) -> None:
    """See that the rules fit each other and the classes.

    Raises:
        UsageError: they do not.
    """
    active(config)
    check_classes(config, pipeline.detect.resolve_ontology())


def embedders(
    config: FilterConfig, ontology: Ontology, models: Mapping[str, Located], device: str
) -> Iterator[tuple[str, Embed]]:
    """Make the embedders, by name, to be timed; beside them the rules take next to no time."""
    for name, located in models.items():
        yield name, Embed(located, config.context, device)


def check_classes(config: FilterConfig, ontology: Ontology) -> None:
    """See that the classes that options name are there.

    Raises:
        UsageError: one is not.
    """
    for one in config.class_min_score:
        if one not in ontology.names:
            raise UsageError(
                f"class_min_score names {one!r}, which is not a class",
                hint=suggest(one, ontology.names, "the classes are"),
            )


def find_capped(source: Layer, most: int) -> dict[str, int]:
    """Find images with `most` or more near duplicates before them, and their place among those.

    Earlier images come first, so that images which are added later change none of it.
    """
    if not most:
        return {}
    seen: Counter[str] = Counter()
    capped: dict[str, int] = {}
    for index in source.shards():
        table = source.table(index, ["image_id", "group", "split", "error"])
        for row in table.to_pylist():
            if Record(row["image_id"], "", split=row["split"], error=row["error"]).usable:
                group = row["group"] or row["image_id"]
                seen[group] += 1
                if seen[group] > most:
                    capped[row["image_id"]] = seen[group]
    return capped


def _wanted(source: Layer, fitted: Fitted, capped: Mapping[str, int]) -> dict[int, str]:
    """Return for each shard the digest of all that it is made of."""
    wanted: dict[int, str] = {}
    for index in source.shards():
        inputs: dict[str, object] = dict(fitted.inputs)
        if capped:
            ids = source.table(index, ["image_id"]).column(0).to_pylist()
            inputs |= {i: capped[i] for i in ids if i in capped}
        lost = [name for name, layer in fitted.layers.items() if layer.has_unread(index)]
        if lost:  # what could not be read may be the next time
            inputs["unread"] = {name: fitted.layers[name].digest(index) for name in lost}
        wanted[index] = source.digest(index)
        if inputs:
            text = json.dumps(inputs, sort_keys=True).encode()
            wanted[index] += f"+{hashlib.sha256(text).hexdigest()[:16]}"
    return wanted


def _task(source: Layer, fitted: Fitted, index: int, digest: str) -> Task:
    read = partial(read_joined, source, fitted.layers, index)
    return Task(index, source.rows(index), read, digest)
