"""What the shell offers on Tab: models, layers, classes, students. Where it offers none: files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import typer

from autolabel.config import (
    Config,
    DetectConfig,
    EvaluateConfig,
    ExportConfig,
    FilterConfig,
    RelabelConfig,
)
from autolabel.errors import AutolabelError
from autolabel.stages.table import STAGES, StageEntry

Offer = Callable[[typer.Context, str], list[str]]
"""(context, what is typed so far) -> what it may become."""


def choices(names: Callable[[], Sequence[str]]) -> Offer:
    """Offer the names that are known when Tab is pressed."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        return [name for name in names() if name.startswith(incomplete)]

    return offer


def models(task: str | None = None) -> Offer:
    """Offer registered names, of one task or of all."""

    def offer(ctx: typer.Context, incomplete: str) -> list[str]:
        from autolabel.registry import registered

        known = registered().items()
        return [n for n, r in known if task in (None, r.task) and n.startswith(incomplete)]

    return offer


def layers(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the layers of the workspace that is named before."""
    found = _named_in(ctx, "*/manifest.json") + _named_in(ctx, "embed/*/manifest.json")
    return [name for name in found if name.startswith(incomplete)]


def students(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the students of the workspace that is named before."""
    names = [Path(name).name for name in _named_in(ctx, "train/*/run.json")]
    return [name for name in names if name.startswith(incomplete)]


def classes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the classes of the workspace that is named before."""
    from autolabel.config.base import read_yaml
    from autolabel.ontology import Ontology

    for home in _workspaces(ctx):
        try:
            names = Ontology.from_mapping(read_yaml(home / "ontology.yaml")).names
        except AutolabelError:
            continue
        return [name for name in names if name.startswith(incomplete)]
    return []


def class_values(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer ``CLASS=``, for a value by class."""
    return [f"{name}=" for name in classes(ctx, incomplete)]


def rules(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the rules of the filter, those of installed packages among them."""
    from autolabel.stages.filter import RULES

    return [name for name in RULES if name.startswith(incomplete)]


def plugin_rules(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer ``RULE=`` for each rule of an installed package."""
    from autolabel.stages.filter import RULES

    return [f"{name}=" for name in RULES.plugins.values if name.startswith(incomplete)]


OFFERS: dict[tuple[type[Config], str], Offer] = {
    (DetectConfig, "class_threshold"): class_values,
    (FilterConfig, "class_min_score"): class_values,
    (FilterConfig, "rules"): rules,
    (FilterConfig, "plugin_rule"): plugin_rules,
    (EvaluateConfig, "student"): students,
    **{(model, "drop"): classes for model in (ExportConfig, RelabelConfig)},
    **{(model, "rename"): class_values for model in (ExportConfig, RelabelConfig)},
}
"""What is offered for an option; a layer's name, for options of that name, is not listed."""


def offer_models(entry: StageEntry) -> None:
    """Offer the names of models for the options of a stage that name one."""
    for option, task in entry.models.items():
        OFFERS[entry.config, option] = models(task)


for _name in STAGES.built_in:
    offer_models(STAGES[_name])


def offer_for(model: type[Config], name: str) -> Offer | None:
    """Return what is offered for a field that is not a fixed choice."""
    return layers if name in ("layer", "from_layer") else OFFERS.get((model, name))


def _workspaces(ctx: typer.Context) -> Iterator[Path]:
    # Behind an option that waits for its value, arguments are not told apart yet.
    positional = [*(ctx.params.get("source") or ()), *ctx.args]
    named = ctx.params.get("workspace") or next(iter(positional), None)
    if named is not None and Path(named).is_dir():
        yield Path(named)


def _named_in(ctx: typer.Context, pattern: str) -> list[str]:
    return [
        path.parent.relative_to(home).as_posix()
        for home in _workspaces(ctx)
        for path in sorted(home.glob(pattern))
        if not path.parent.name.startswith(".")
    ]
