"""How the labels came about: stages, models, settings that were changed, and the commands."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

from autolabel.config import Config, DetectConfig, FilterConfig, IngestConfig, RefineConfig
from autolabel.config.train import TrainConfig
from autolabel.store import Counts, Layer, Manifest, Workspace

OPTIONS: Mapping[str, type[Config]] = {
    "ingest": IngestConfig,
    "detect": DetectConfig,
    "refine": RefineConfig,
    "filter": FilterConfig,
}
"""Stages that people run by name, and their options."""

_SHORT = 12


@dataclass(frozen=True)
class Model:
    """A model that a stage used."""

    name: str
    revision: str


@dataclass(frozen=True)
class StageRun:
    """One stage, as its layer's manifest tells.

    Attributes:
        changed: option -> value, where it is not the default.
        settings: every setting that shaped the layer.
    """

    layer: str
    stage: str
    version: str
    models: tuple[Model, ...]
    changed: dict[str, Any]
    settings: dict[str, Any]
    counts: Counts


def stage_runs(workspace: Workspace, newest: Layer) -> list[StageRun]:
    """The stages that `newest` came through, first to last."""
    runs: list[StageRun] = []
    layer: Layer | None = newest
    while layer is not None and layer.exists:
        manifest = layer.manifest
        if manifest.stage in OPTIONS:
            runs.append(_run(layer, manifest))
        layer = workspace.layer(manifest.source["layer"]) if manifest.source else None
    return runs[::-1]


def _run(layer: Layer, manifest: Manifest) -> StageRun:
    settings = {k: v for k, v in manifest.settings.items() if k != "ontology"}
    changed = changed_settings(OPTIONS[manifest.stage], settings)
    changed.pop("holdout", None)  # a hash here, not what was given
    return StageRun(
        layer=layer.name,
        stage=manifest.stage,
        version=manifest.version,
        models=tuple(_models(manifest)),
        changed=changed,
        settings=settings,
        counts=layer.counts(),
    )


def changed_settings(options: type[Config], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that are options and not at their default."""
    known = options.model_fields
    return {k: v for k, v in settings.items() if k in known and v != _default(known[k])}


def _default(field: FieldInfo) -> Any:
    return to_jsonable_python(field.get_default(call_default_factory=True))


def _models(manifest: Manifest) -> Iterator[Model]:
    """A stage with one model records its name and revision; the filter, both for each role."""
    model = manifest.model or {}
    if "name" in model:
        model = {manifest.stage: f"{model['name']} {model.get('revision', '')}"}
    for identity in model.values():
        name, _, revision = identity.rpartition(" ")
        digest = revision.removeprefix("sha256:")
        yield Model(name, revision[: len(revision) - len(digest)] + digest[:_SHORT])


def commands(workspace: Workspace, newest: Layer) -> list[str]:
    """The commands that make the same layers again."""
    lines = []
    home = str(workspace.path)
    for run in stage_runs(workspace, newest):
        manifest = workspace.layer(run.layer).manifest
        words = ["autolabel", run.stage, home]
        if run.stage == "ingest":
            words = ["autolabel", "ingest", str(manifest.source_root), "--workspace", home]
            words += _flags("holdout", manifest.origin.get("holdout", ()))
        if run.stage == "detect":
            words += _flags("ontology", f"{home}/ontology.yaml")
        for name in OPTIONS[run.stage].model_fields:
            if name in ("model", "clip", "dinov2", "examples"):
                words += _flags(name, manifest.origin.get(name) or ())
            elif name in run.changed:
                words += _flags(name, run.changed[name])
        lines.append(shlex.join(words))
    return lines


def train_command(workspace: Workspace, settings: Mapping[str, Any]) -> str:
    """The command that trains a student again."""
    words = ["autolabel", "train", str(workspace.path)]
    for name, value in changed_settings(TrainConfig, settings).items():
        words += _flags(TrainConfig.model_fields[name].alias or name, value)
    return shlex.join(words)


def _flags(name: str, value: Any) -> list[str]:
    """``--name value``, once for each entry of a list or a mapping."""
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        return [flag if value else f"--no-{name.replace('_', '-')}"]
    if isinstance(value, Mapping):
        return [word for key, one in value.items() for word in (flag, f"{key}={one}")]
    if isinstance(value, list | tuple):
        return [word for one in value for word in (flag, str(one))]
    return [flag, str(value)]
