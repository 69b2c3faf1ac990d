"""What each rule would reject: the dry run of `filter`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from autolabel.config import EngineConfig, FilterConfig
from autolabel.stages.filter.fit import Fitted, fit, read_joined
from autolabel.stages.filter.stage import Filter, find_capped, source_of
from autolabel.stages.filter.table import GROUP, active
from autolabel.stages.running import Reporter, check_ready, silent
from autolabel.stages.table import STAGES
from autolabel.store import Layer, Workspace
from autolabel.types import Record


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


def try_rules(
    workspace: Workspace,
    config: FilterConfig,
    engine: EngineConfig,
    *,
    from_layer: str | None = None,
    report: Reporter = silent,
) -> list[Trial]:
    """Tell what each rule would reject; no label is changed.

    Crops that are embedded for it stay embedded, as by `filter_labels`, and so does what is learned
    from them; what the layer `filter` was made with stays beside that.

    Raises:
        AutolabelError: as `filter_labels`.
    """
    source = source_of(workspace, config, from_layer)
    writes = bool(STAGES["filter"].models_of(config))
    with workspace.lock() if writes else nullcontext():
        check_ready(workspace, source)
        return _try(source, config, fit(workspace, source, config, engine, report, on_trial=True))


def _try(source: Layer, config: FilterConfig, fitted: Fitted) -> list[Trial]:
    rules = active(config)
    capped = find_capped(source, config.max_per_group)
    stages = {
        name: Filter(
            config.model_copy(update={"rules": (name,), "max_per_group": 0}),
            fitted.texts, fitted.prototypes, fitted.probe,
        )
        for name in rules
    }  # fmt: skip
    whole = Filter(config, fitted.texts, fitted.prototypes, fitted.probe, capped)
    alone: Counter[str] = Counter()
    classes: dict[str, Counter[str]] = {name: Counter() for name in [*rules, GROUP]}
    for index in source.shards():
        read = read_joined(source, fitted.layers, index)
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
    """Yield (rule, class) of each label that was rejected just now."""
    lost = before.objects.keep & ~after.objects.keep
    for label, reason in zip(after.objects.label[lost], after.objects.reason[lost], strict=True):
        yield reason.partition(":")[0], label
