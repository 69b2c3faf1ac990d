"""Every option as a Markdown page, from the config models.

python -m autolabel.cli.reference > configs/README.md
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Iterator

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from autolabel.cli.options import flag_name
from autolabel.config import Config, PipelineConfig, choices_of, group_of

_HEAD = """\
# Pipeline files

`autolabel run FILE.yaml` runs every stage that the file names. Copy `demo.yaml` and change it; any
value can be overridden with `--set stage.key=value`. Relative paths are relative to the folder that
the command is run in. Each key is also a flag of the command of its stage: `box_threshold` is
`--box-threshold`.

This page is written by `python -m autolabel.cli.reference`.
"""


def reference() -> str:
    """The page: one table per stage with key, flag, default, bounds and help."""
    parts = [_HEAD]
    for name, field in PipelineConfig.model_fields.items():
        model = group_of(field.annotation)
        parts.append(f"## {name}\n\n{_about(field, model)}\n")
        if model is not None:
            parts.append("\n".join(_rows(model)) + "\n")
    return "\n".join(parts)


def _about(field: FieldInfo, model: type[Config] | None) -> str:
    text = (model.__doc__ or "").strip() if model else field.description or ""
    return text + (" A list of these." if typing.get_origin(field.annotation) is tuple else "")


def _rows(model: type[Config]) -> Iterator[str]:
    yield "| key | flag | default | bounds | |"
    yield "|---|---|---|---|---|"
    for name, field in model.model_fields.items():
        key = field.alias or name
        flag = "SOURCE" if name == "source" else flag_name(model, name)
        cells = (f"`{key}`", f"`{flag}`", _default(field), _bounds(field))
        help_text = (field.description or "").replace("|", "\\|")
        yield f"| {' | '.join(cells)} | {help_text} |"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    if field.default in (None, (), {}):
        return ""
    return f"`{str(field.default).lower() if field.default is True else field.default}`"


def _bounds(field: FieldInfo) -> str:
    signs = {Ge: ("≥", "ge"), Gt: (">", "gt"), Le: ("≤", "le"), Lt: ("<", "lt")}
    found = [
        f"{sign} {getattr(mark, attribute)}"
        for mark in field.metadata
        if not isinstance(mark, MinLen)
        for kind, (sign, attribute) in signs.items()
        if isinstance(mark, kind)
    ]
    return ", ".join([f"`{choice}`" for choice in choices_of(field)] or found)


if __name__ == "__main__":
    sys.stdout.write(reference())
