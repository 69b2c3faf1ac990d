"""What every group of options is, and the errors of those that do not fit."""

from __future__ import annotations

import json
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import core_schema

from autolabel import reading
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.plugins import named


class Config(BaseModel):
    """A frozen group of options; an unknown key is refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False
    )
    HOW: ClassVar[frozenset[str]] = frozenset()
    PANELS: ClassVar[Mapping[str, str]] = {}
    """The first field of each group of options -> the group's name, in long lists of options."""

    def settings(self) -> dict[str, Any]:
        """The options that shape the content, as JSON values."""
        return self.model_dump(mode="json", exclude=set(self.HOW))


@dataclass(frozen=True)
class OneOf:
    """Marks a text option whose choices are the names in a table that plugins add to.

    Attributes:
        names: ``module:function`` that returns the names; with ``plugins=False`` those of our own,
            for which nothing is loaded. It is looked up when it is needed, as the rooms that hold
            such tables know the config and not the other way round.
    """

    names: str

    def choices(self, *, plugins: bool) -> tuple[str, ...]:
        """Return the names, with those of plugins or without."""
        listed: tuple[str, ...] = named(self.names)(plugins=plugins)
        return listed

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_after_validator_function(self._checked, handler(source))

    def _checked(self, value: str) -> str:
        if value in self.choices(plugins=False):
            return value
        known = self.choices(plugins=True)
        if value not in known:
            *others, last = map(repr, known)
            raise ValueError(f"input should be {', '.join(others)} or {last}")
        return value


def choices_of(field: FieldInfo, *, plugins: bool = False) -> tuple[str, ...]:
    """Return what an option may be, where that is one of some names; empty where it is not."""
    if typing.get_origin(field.annotation) is typing.Literal:
        return typing.get_args(field.annotation)
    marks = [mark for mark in field.metadata if isinstance(mark, OneOf)]
    return marks[0].choices(plugins=plugins) if marks else ()


AnyConfig = TypeVar("AnyConfig", bound=Config)


def build(model: type[AnyConfig], values: Mapping[str, Any], *, flags: bool) -> AnyConfig:
    """Validate options.

    Args:
        model: the group of options.
        values: what was given, by field name or alias.
        flags: whether to name an option in errors as a flag (`--box-threshold`) or as a key.

    Raises:
        UsageError: a value is out of bounds or of the wrong type, or a key is unknown.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as e:
        raise _usage_error(model, e, flags=flags) from None


def scores_in_range(value: dict[str, float]) -> dict[str, float]:
    """Thresholds by name, each from 0 to 1.

    Raises:
        ValueError: one is not.
    """
    for name, threshold in value.items():
        if not 0 <= threshold <= 1:
            raise ValueError(f"the threshold of {name!r} must be from 0 to 1, not {threshold}")
    return value


def as_list(value: Any) -> Any:
    """A single text as a list of one."""
    return (value,) if isinstance(value, str) else value


def read_yaml(path: Path) -> Any:
    """The content of a YAML file.

    Raises:
        AutolabelError: it cannot be read.
        UsageError: it is not YAML.
    """
    try:
        return reading.read_yaml(path)
    except OSError as e:
        raise AutolabelError(
            f"{path} cannot be read: {e.strerror}", hint="name a YAML file that exists"
        ) from e
    except ValueError as e:
        raise UsageError(f"{path} is not valid YAML: {e}", hint="fix that line") from e


def _usage_error(model: type[Config], error: ValidationError, *, flags: bool) -> UsageError:
    first = error.errors(include_url=False)[0]
    path = [str(p) for p in first["loc"]]
    owner, known = _owner(model, path)
    name = f"--{path[-1].replace('_', '-')}" if flags and path else ".".join(path)
    if flags and len(path) > 1:
        name = f"--{path[0].replace('_', '-')}"
    if first["type"] == "extra_forbidden":
        return UsageError(f"unknown key {name!r}", hint=suggest(path[-1], known, "the keys are"))
    if first["type"] == "missing":
        return UsageError(
            f"{name} is missing", hint=_help(owner, path[-1]) or f"add {name} to the file"
        )
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[:1].lower() + reason[1:]
    given = first["input"]
    shown = given if isinstance(given, str) else json.dumps(given, default=str, ensure_ascii=False)
    return UsageError(
        f"{name} cannot be {shown[:80]}: {reason}",
        hint=_help(owner, path[-1]) or f"change {name}",
    )


def group_of(annotation: Any) -> type[Config] | None:
    """The config model in ``Model``, ``Model | None`` or ``tuple[Model, ...]``."""
    inner = typing.get_args(annotation) or (annotation,)
    models = [m for m in inner if isinstance(m, type) and issubclass(m, Config)]
    return models[0] if models else None


def _owner(model: type[Config], path: Sequence[str]) -> tuple[type[Config], list[str]]:
    """The group of options that the last key of `path` belongs to, and its keys."""
    if len(path) > 1 and path[0] in model.model_fields:
        model = group_of(model.model_fields[path[0]].annotation) or model
    return model, [f.alias or name for name, f in model.model_fields.items()]


def _help(model: type[Config], key: str) -> str:
    for name, f in model.model_fields.items():
        if key in (name, f.alias):
            return (f.description or "").rstrip(".")
    return ""
