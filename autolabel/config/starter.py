"""A pipeline file to start from, with every option in it and what it does."""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic.fields import FieldInfo

from autolabel.config.base import Config, group_of
from autolabel.config.pipeline import PipelineConfig

_HEAD = """\
# From photos to a dataset and a report:  autolabel run {name}
# What it would do, and why:              autolabel run {name} --dry-run
#
# Change the lines marked with <-. Relative paths are relative to the folder that the command is run
# in. A line that begins with #key: is an option at its default: take the # away to change it. A
# stage that is left out does not run.
"""

_GIVEN: Mapping[str, Mapping[str, Any]] = {
    "engine": {"device": "auto"},
    "ingest": {"source": ["photos"]},
    "detect": {"model": "grounding-dino-tiny", "prompt": ["cat", "dog"], "box_threshold": 0.35},
    "refine": {"model": "sam-vit-base"},
    "filter": {"min_side": 8, "inside": 0.95},
    "relabel": {"rename": {"cat": "feline"}},
    "export": {"format": "coco", "out": "workspace/export", "val_share": 0.2},
    "train": {"student": "yolo26n.yaml", "epochs": 100},
    "evaluate": {"truth": "labelled_by_hand"},
    "report": {"images": 6},
}
"""Stage -> the options that are set."""

_OFF = ("relabel", "train", "evaluate")
"""Stages that need more than photos or are seldom wanted, and so are commented out."""

_MARKED = {"source": "your photos", "prompt": "what to find, each a class"}

_WIDTH = 100


def starter(name: str, model: type[PipelineConfig] = PipelineConfig) -> str:
    """Return the text of a pipeline file: valid as it is, and full of explanations.

    Args:
        name: of the file.
        model: what it may hold; a stage that is not one of ours is commented out.

    >>> print(starter("pipeline.yaml").splitlines()[7])
    workspace: workspace
    """
    parts = [_HEAD.format(name=name)]
    for stage, field in model.model_fields.items():
        options = group_of(field.annotation)
        if options is None:
            parts.append("workspace: workspace\n")
            continue
        listed = typing.get_origin(field.annotation) is tuple
        lines = _section(stage, options, _GIVEN.get(stage, {}), listed=listed)
        if stage in _OFF or stage not in _GIVEN:
            lines = (line if line.startswith("#") else f"#{line}" for line in lines)
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _section(
    stage: str, model: type[Config], given: Mapping[str, Any], *, listed: bool
) -> Iterator[str]:
    about = " ".join((model.__doc__ or "").split())
    yield from _wrapped(about, "")
    yield f"{stage}:"
    indent = "    " if listed else "  "
    # An entry of a list begins with a key that is there.
    names = sorted(model.model_fields, key=lambda n: listed and n not in given)
    for at, name in enumerate(names):
        field = model.model_fields[name]
        before = "  - " if listed and at == 0 else indent
        yield from _option(name, field, given, indent, before)


def _option(
    name: str, field: FieldInfo, given: Mapping[str, Any], indent: str, before: str
) -> Iterator[str]:
    key = field.alias or name
    if before == indent:
        yield from _wrapped(field.description or "", indent)
    if key in given:
        mark = f"  # <- {_MARKED[key]}" if key in _MARKED else ""
        yield f"{before}{key}: {_yaml(given[key])}{mark}"
    else:
        yield f"{indent}#{key}: {_yaml(field.default)}"


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(
        text, _WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


def _yaml(value: Any) -> str:
    """JSON, which is YAML on one line; a plain word without its quotes."""
    text = json.dumps(value, ensure_ascii=False)
    word = value if isinstance(value, str) else ""
    plain = word.replace("-", "").replace("/", "").replace("_", "").replace(".", "")
    return word if plain.isalpha() and word not in ("true", "false", "null", "none") else text
