"""Flags generated from the config models, so that an option is stated once."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import Annotated, Any

import typer
from pydantic.fields import FieldInfo

from autolabel.cli.complete import Offer, choices, offer_for
from autolabel.config import Config, EngineConfig, build, choices_of
from autolabel.errors import UsageError


def expand(command: Callable[..., None]) -> Callable[..., None]:
    """Turn each parameter that is a config model into one flag per field.

    A parameter annotated ``Annotated[Model, {"a", "b"}]`` leaves out those fields. The command gets
    the validated model, whose `model_fields_set` are the flags that were given.
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, tuple[type[Config], list[str]]] = {}
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        model, without = _model(parameter.annotation)
        if model is None:
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        names = [name for name in model.model_fields if name not in without]
        groups[parameter.name] = (model, names)
        parameters += [_flag(model, name) for name in names]

    @functools.wraps(command)
    def run(**values: Any) -> None:
        for group, (model, names) in groups.items():
            given = {name: values.pop(name) for name in names}
            given = {n: _parsed(model, n, v) for n, v in given.items() if v not in (None, [])}
            values[group] = build(model, given, flags=True)
        command(**values)

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {p.name: p.annotation for p in parameters}
    return run


def _model(annotation: Any) -> tuple[type[Config] | None, frozenset[str]]:
    without: frozenset[str] = frozenset()
    if typing.get_origin(annotation) is Annotated:
        annotation, extra = typing.get_args(annotation)[:2]
        without = frozenset(extra) if isinstance(extra, set) else without
    if isinstance(annotation, type) and issubclass(annotation, Config):
        return annotation, without
    return None, without


def flag_name(model: type[Config], name: str) -> str:
    """Turn ``box_threshold`` into ``--box-threshold``; a field's alias comes first."""
    return "--" + (model.model_fields[name].alias or name).replace("_", "-")


def _flag(model: type[Config], name: str) -> inspect.Parameter:
    field = model.model_fields[name]
    kind, metavar = _kind(field)
    flag = flag_name(model, name)
    option = typer.Option(
        f"{flag}/--no-{flag[2:]}" if kind is bool else flag,
        help=f"{field.description}{_default(field)}",
        show_default=False,
        metavar=metavar,
        rich_help_panel=_panel(model, name),
        autocompletion=_offer(model, name),
    )
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[kind | None, option],
    )


def _panel(model: type[Config], name: str) -> str | None:
    """Return the group of options in which help shows a field."""
    if model is EngineConfig:
        return "How it runs"
    names = list(model.model_fields)
    before = names[: names.index(name) + 1]
    return next((model.PANELS[n] for n in reversed(before) if n in model.PANELS), None)


def _offer(model: type[Config], name: str) -> Offer | None:
    field = model.model_fields[name]
    if choices_of(field):
        return choices(lambda: choices_of(field, plugins=True))
    return offer_for(model, name)


def _kind(field: FieldInfo) -> tuple[Any, str | None]:
    """Return the type that the command line parses, and how help shows a value.

    Bounds are left to the model, which states them once for flags and files.
    """
    annotation: Any = field.annotation
    options = [a for a in typing.get_args(annotation) if a is not type(None)]
    if isinstance(annotation, types.UnionType):
        annotation = options[0]
    origin = typing.get_origin(annotation)
    if origin is tuple:
        return list[str], "TEXT"
    if origin is dict:
        return list[str], "NAME=VALUE"
    if named := choices_of(field):
        return str, "|".join(named)
    if annotation in (int, float):
        return str, "INTEGER" if annotation is int else "NUMBER"
    return annotation, None if annotation is bool else "TEXT"


def _default(field: FieldInfo) -> str:
    if field.is_required() or field.default in (None, "", (), {}):
        return ""
    return f" [default: {field.default}]"


def _parsed(model: type[Config], name: str, value: Any) -> Any:
    """Split ``NAME=VALUE`` for a field that is a mapping."""
    field = model.model_fields[name]
    if typing.get_origin(field.annotation) is not dict:
        return value
    pairs: dict[str, str] = {}
    for text in value:
        key, equals, given = text.rpartition("=")
        if not equals or not key.strip():
            flag = flag_name(model, name)
            shown = (field.examples or ["cat=0.4"])[0]
            raise UsageError(f"{flag} {text!r} is not NAME=VALUE", hint=f'write {flag} "{shown}"')
        pairs[key.strip()] = given.strip()
    return pairs
