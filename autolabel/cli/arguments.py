"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autolabel.cli.complete import layers
from autolabel.errors import UsageError


def example(command: str) -> str:
    """Say what stands below a command's help."""
    return f"Example: `autolabel {command}`"


def typed(text: str) -> str:
    """Return a path as it is typed; an empty one, as of an unset variable, is refused."""
    if not text.strip():
        raise UsageError("a path is empty", hint="name a folder; . is the one that you are in")
    return text


def typed_path(text: str | Path) -> Path:
    """Return the same as a path."""
    return Path(typed(str(text)))


Given = Annotated[Path, typer.Argument(metavar="WS", parser=typed_path, help="The workspace.")]
InWorkspace = Annotated[
    Path | None,
    typer.Option(
        "--workspace", "-w", metavar="WS", parser=typed_path, help="Folder of the label store."
    ),
]
Overwrite = Annotated[
    bool,
    typer.Option(
        "--overwrite",
        help="Make the layer anew where its settings differ; the old one stays until the new one "
        "is complete.",
    ),
]
SourceRoot = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", parser=typed_path, help="Where the images' folder is now, if it was moved."
    ),
]
AllowUnfinished = Annotated[
    bool,
    typer.Option(
        "--allow-unfinished",
        help="Go on with labels that are unfinished or stale; how many images they lack is said.",
    ),
]
FromLayer = Annotated[
    str,
    typer.Option(
        "--from", metavar="LAYER", help="Layer whose images to work on.", autocompletion=layers
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on standard output.")]
