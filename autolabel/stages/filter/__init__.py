"""The stage `filter` over one workspace: embeddings, the fit over the whole layer, the rules."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial

from autolabel.config import EngineConfig, FilterConfig
from autolabel.engine.base import Task
from autolabel.errors import UsageError, suggest
from autolabel.ontology import Ontology
from autolabel.registry import Located
from autolabel.stages.filter.fit import TASKS, Gathered, Place, gather, read_joined
from autolabel.stages.filter.rules import GROUP, active
from autolabel.stages.filter.stage import Filter
from autolabel.stages.history import ontology_of
from autolabel.stages.running import Reporter, StageResult, check_ready, run_stage, silent
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.types import Record

SOURCES = ("refine", "detect")
"""Layers that can be filtered, newest stage first."""


@dataclass(frozen=True)
class Trial:
    """What a rule would reject.

    Attributes:
        rule: its name.
        alone: labels that it would reject if it were the only rule.
        classes: class -> labels that it rejects in its place among the others.
    """

    rule: str
    alone: int
    classes: dict[str, int]


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
    """Labels to kept and rejected ones: the layer `filter`.

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
        place = Place(workspace, learned_from=learned_from)
        found = gather(place, source, config, engine, report)
        capped = {} if learned_from else find_capped(source, config.max_per_group)
        origin = {**found.origin, "ontology": ontology_of(source).to_mapping()}
        manifest = replace(asked(config, found.located), origin=origin)
        wanted = _wanted(source, found, capped)
        update = workspace.plan_update(
            "filter", bound_to(manifest, source), wanted, overwrite=overwrite
        )
        tasks = [_task(source, found, index, wanted[index]) for index in update.to_do]
        make = partial(Filter, config, found.texts, found.crowds, found.probe, capped)
        layer = run_stage("filter", make, update, tasks, engine, report)
        return StageResult(layer, sum(task.images for task in tasks))


def asked(config: FilterConfig, located: Mapping[str, Located]) -> Manifest:
    """What binds the layer `filter` that is asked for, by embedder and its model."""
    model = {name: f"{at.name} {at.revision}" for name, at in located.items()} or None
    return Manifest(stage="filter", settings=config.settings(), model=model)


def try_rules(
    workspace: Workspace,
    config: FilterConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    report: Reporter = silent,
) -> list[Trial]:
    """What each rule would reject; no label is changed.

    Crops that are embedded for it stay embedded, as by `filter_labels`, and so does what is learned
    from them; what the layer `filter` was made with stays beside that.

    Raises:
        AutolabelError: as `filter_labels`.
    """
    source = source_of(workspace, config, from_layer)
    writes = any(getattr(config, name) for name in TASKS)
    with workspace.lock() if writes else nullcontext():
        check_ready(workspace, source)
        place = Place(workspace, on_trial=True)
        return _try(source, config, gather(place, source, config, engine, report))


def _try(source: Layer, config: FilterConfig, found: Gathered) -> list[Trial]:
    rules = active(config)
    capped = find_capped(source, config.max_per_group)
    stages = {
        name: Filter(
            config.model_copy(update={"rules": (name,), "max_per_group": 0}),
            found.texts, found.crowds, found.probe,
        )
        for name in rules
    }  # fmt: skip
    whole = Filter(config, found.texts, found.crowds, found.probe, capped)
    alone: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = {name: Counter() for name in [*rules, GROUP]}
    for index in source.shards():
        read = read_joined(source, found.layers, index)
        records = [record for record in read if whole.wants(record)]
        for name, stage in stages.items():
            alone[name] += sum(len(list(_new(*pair))) for pair in _pairs(stage, records))
        for before, after in _pairs(whole, records):
            for rule, label in _new(before, after):
                classes[rule][label] += 1
    alone[GROUP] = classes[GROUP].total()
    listed = [*rules, GROUP] if config.max_per_group else rules
    return [Trial(name, alone[name], dict(classes[name])) for name in listed]


def _pairs(stage: Filter, records: Sequence[Record]) -> list[tuple[Record, Record]]:
    return list(zip(records, stage(records), strict=True))


def _new(before: Record, after: Record) -> Iterator[tuple[str, str]]:
    """(rule, class) of each label that was rejected just now."""
    lost = before.objects.keep & ~after.objects.keep
    for label, reason in zip(after.objects.label[lost], after.objects.reason[lost], strict=True):
        yield reason.partition(":")[0], label


def source_of(workspace: Workspace, config: FilterConfig, name: str | None) -> Layer:
    """The layer that is filtered: that of the name, or the newest.

    Raises:
        AutolabelError: there is none.
        UsageError: it cannot be filtered, or not so.
    """
    config.check()
    active(config)
    source = workspace.require(name) if name else workspace.newest(SOURCES)
    if source.name == "filter":
        raise UsageError("filter/ cannot be made from itself", hint="use --from refine or detect")
    check_classes(config, ontology_of(source))
    return source


def check_classes(config: FilterConfig, ontology: Ontology) -> None:
    """See that the classes that options name are there.

    Raises:
        UsageError: one is not.
    """
    for one in config.class_min_score:
        if one not in ontology.names:
            raise UsageError(
                f"class_min_score names {one!r}, which is no class",
                hint=suggest(one, ontology.names, "the classes are"),
            )


def find_capped(source: Layer, most: int) -> dict[str, int]:
    """Images with `most` or more near duplicates before them, and their place among those.

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


def _wanted(source: Layer, found: Gathered, capped: Mapping[str, int]) -> dict[int, str]:
    """Shard -> digest of all that it is made of."""
    wanted: dict[int, str] = {}
    for index in source.shards():
        inputs: dict[str, object] = dict(found.inputs)
        if capped:
            ids = source.table(index, ["image_id"]).column(0).to_pylist()
            inputs |= {i: capped[i] for i in ids if i in capped}
        lost = [name for name, layer in found.layers.items() if layer.has_unread(index)]
        if lost:  # what could not be read may be the next time
            inputs["unread"] = {name: found.layers[name].digest(index) for name in lost}
        wanted[index] = source.digest(index)
        if inputs:
            text = json.dumps(inputs, sort_keys=True).encode()
            wanted[index] += f"+{hashlib.sha256(text).hexdigest()[:16]}"
    return wanted


def _task(source: Layer, found: Gathered, index: int, digest: str) -> Task:
    return Task(
        index, source.rows(index), partial(read_joined, source, found.layers, index), digest
    )
