"""The reference pages, written from the config models, the command line and the schemas.

python -m autolabel.cli.reference
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import typer
from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic.fields import FieldInfo

from autolabel.cli.commands import app
from autolabel.cli.options import flag_name
from autolabel.config import Config, PipelineConfig, choices_of, group_of

_NOTE = "This page is written by `python -m autolabel.cli.reference`.\n"

_PIPELINE = f"""\
# Pipeline files

`autolabel run FILE.yaml` runs every stage that the file names. Copy `demo.yaml` and change it; any
value can be overridden with `--set stage.key=value`. Relative paths are relative to the folder that
the command is run in. Each key is also a flag of the command of its stage: `box_threshold` is
`--box-threshold`.

{_NOTE}"""

_COMMANDS = f"""\
# Commands

Data goes to standard output (`--json` for programs), progress and messages to standard error. Exit
status: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C. `autolabel --install-completion`
completes commands, options, models, layers and classes in your shell.

{_NOTE}"""

_ROWS = f"""\
# The rows of a layer

One row is one image, its objects nested. The shards of a layer are Parquet files of this schema;
boxes are pixels of the upright image, half-open, and masks are the `counts` of a compressed COCO
RLE.

{_NOTE}
| column | type |
|---|---|
"""


def pages() -> Mapping[str, Callable[[], str]]:
    """Return each generated page: its path in the repository, and what writes its text."""
    return {
        "configs/README.md": pipeline_page,
        "docs/reference/pipeline-file.md": pipeline_page,
        "docs/reference/commands.md": commands_page,
        "docs/reference/rows.md": rows_page,
    }


def pipeline_page() -> str:
    """Return the page of the pipeline file: for each stage key, flag, default, bounds and help."""
    parts = [_PIPELINE]
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
        yield f"| {' | '.join(cells)} | {_cell(field.description or '')} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


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


def commands_page() -> str:
    """Return the page of the commands: for each its usage, its help, options and example."""
    group: Any = typer.main.get_command(app)
    parts = [_COMMANDS, _section("autolabel", group)]
    parts += [_section(name, command) for name, command in _commands("autolabel", group)]
    return "\n".join(parts)


def _commands(path: str, group: Any) -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        yield f"{path} {name}", command
        if hasattr(command, "commands"):
            yield from _commands(f"{path} {name}", command)


def _section(path: str, command: Any) -> str:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    options = [p for p in command.params if p.param_type_name == "option" and not p.hidden]
    words = [path, *(_metavar(p) for p in arguments), *(["[OPTIONS]"] if options else [])]
    parts = [f"## {path}", f"```text\n{' '.join(words)}\n```", (command.help or "").strip()]
    if arguments or options:
        parts.append("\n".join(["| option | |", "|---|---|", *_lines([*arguments, *options])]))
    if command.epilog:
        parts.append(command.epilog)
    return "\n\n".join(part for part in parts if part) + "\n"


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    name = f"{name}..." if argument.nargs == -1 else name
    return name if argument.required else f"[{name}]"


def _lines(parameters: Iterable[Any]) -> Iterator[str]:
    for parameter in parameters:
        if parameter.param_type_name == "argument":
            flags = f"`{_metavar(parameter)}`"
        else:
            value = f" {parameter.metavar}" if parameter.metavar else ""
            names = [*parameter.opts, *parameter.secondary_opts]
            flags = ", ".join(f"`{_cell(name + value)}`" for name in names)
        yield f"| {flags} | {_cell(parameter.help or '')} |"


def rows_page() -> str:
    """Return the page of a shard's columns and their types."""
    import pyarrow as pa

    from autolabel.types import SCHEMA

    def lines(prefix: str, fields: Iterable[pa.Field]) -> Iterator[str]:
        for field in fields:
            name, kind = prefix + field.name, field.type
            inner = kind.value_type if pa.types.is_list(kind) else None
            if inner is not None and pa.types.is_struct(inner):
                yield f"| `{name}` | list of structs |"
                yield from lines(f"{name}.", inner)
            else:
                yield f"| `{name}` | `{kind}` |"

    return _ROWS + "\n".join(lines("", SCHEMA)) + "\n"


def write(root: Path) -> None:
    """Write every page below the root of the repository."""
    for path, text in pages().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text(), "utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
