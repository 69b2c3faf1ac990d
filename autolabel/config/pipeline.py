"""A whole run in one file."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

from pydantic import Field, field_validator

from autolabel.config.base import Config, build, read_yaml
from autolabel.config.classes import RelabelConfig
from autolabel.config.evaluate import EvaluateConfig
from autolabel.config.filter import FilterConfig
from autolabel.config.report import ReportConfig
from autolabel.config.stages import (
    DetectConfig,
    EngineConfig,
    ExportConfig,
    IngestConfig,
    RefineConfig,
)
from autolabel.config.train import TrainConfig
from autolabel.errors import UsageError
from autolabel.reading import parse_yaml


class PipelineConfig(Config):
    """A whole run in one file; a stage that is left out does not run."""

    workspace: str = Field(min_length=1, description="Folder of the label store.")
    engine: EngineConfig = EngineConfig()
    ingest: IngestConfig
    detect: DetectConfig
    refine: RefineConfig | None = None
    filter: FilterConfig | None = None
    relabel: RelabelConfig | None = None
    export: tuple[ExportConfig, ...] = ()
    train: TrainConfig | None = None
    evaluate: EvaluateConfig | None = None
    report: ReportConfig | None = None

    _listed = field_validator("export", mode="before")(
        lambda v: [v] if isinstance(v, Mapping) else v
    )


STEPS = tuple(name for name in PipelineConfig.model_fields if name not in ("workspace", "engine"))
"""What a run does, in its order."""


def load_pipeline(
    path: Path,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    model: type[PipelineConfig] = PipelineConfig,
) -> PipelineConfig:
    """Read a pipeline file and apply overrides.

    Args:
        path: the file.
        overrides: what is other than in the file: texts ``stage.key=value``, or key -> value.
        model: what the file may hold; `autolabel.pipeline.file` adds the plugins' stages.

    Raises:
        AutolabelError: the file cannot be read.
        UsageError: it is not a pipeline, or an override is not.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise UsageError(
            f"{path} is not a pipeline file", hint="start from a copy of configs/demo.yaml"
        )
    given = overrides.items() if isinstance(overrides, Mapping) else map(_pair, overrides)
    pairs = list(given)
    moved = [value for key, value in pairs if key == "workspace"]
    if moved:
        data = _moved(data, data.get("workspace"), moved[-1])
    for key, value in pairs:
        _assign(data, key.split("."), value)
    return build(model, data, flags=False)


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise UsageError(
            f"--set {text!r} is not KEY=VALUE", hint="write --set detect.box_threshold=0.25"
        )
    return key.strip(), _yaml_value(text, value)


def _moved(data: Any, old: Any, new: Any) -> Any:
    """The same values; paths that lie in the old workspace, such as exports, lie in the new one."""
    if isinstance(data, Mapping):
        return {key: _moved(value, old, new) for key, value in data.items()}
    if isinstance(data, list):
        return [_moved(value, old, new) for value in data]
    if not all(isinstance(one, str) and one for one in (data, old, new)):
        return data
    inside = PurePath(os.path.normpath(data))
    root = PurePath(os.path.normpath(old))
    return str(PurePath(new) / inside.relative_to(root)) if root in inside.parents else data


def _yaml_value(text: str, value: str) -> Any:
    try:
        return parse_yaml(value)
    except ValueError:
        raise UsageError(
            f"the value in --set {text!r} is not valid YAML", hint="put the value in quotes"
        ) from None


def _assign(data: dict[str, Any], keys: list[str], value: Any) -> None:
    target: Any = data
    for i, key in enumerate(keys):
        last = i == len(keys) - 1
        if isinstance(target, list):
            if not key.isdigit() or int(key) >= len(target):
                raise UsageError(
                    f"--set {'.'.join(keys)}: {key!r} is not one of its {len(target)} entries",
                    hint=f"write {'.'.join([*keys[:i], '0', *keys[i + 1 :]])}=…",
                )
            position: Any = int(key)
        else:
            position = key
        if last:
            target[position] = value
        else:
            if isinstance(target, dict) and target.get(key) is None:
                target[key] = {}
            target = target[position]
            if not isinstance(target, dict | list):
                raise UsageError(
                    f"--set {'.'.join(keys)}: {key!r} holds a value, not keys",
                    hint=f"write --set {'.'.join(keys[: i + 1])}=…",
                )
