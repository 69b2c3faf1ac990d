"""The commands about labels that people made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autolabel.cli import show
from autolabel.cli.arguments import InWorkspace, Json, SourceRoot, example, typed_path
from autolabel.cli.commands_stages import app  # with its commands, which come first
from autolabel.cli.options import expand
from autolabel.cli.places import move_source, needed
from autolabel.config import EngineConfig, ImportConfig

__all__ = ["app"]

Labels = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", parser=typed_path, help="People's labels: a file or a folder."
    ),
]


@app.command("import", epilog=example("import from-cvat/annotations.xml -w ws --by anna"))
@expand
def import_(
    source: Labels,
    workspace: InWorkspace = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the labels would change; change nothing.")
    ] = False,
    source_root: SourceRoot = None,
    json: Json = False,
    *,
    config: ImportConfig,
    engine: Annotated[EngineConfig, {"engine", "device", "batch_size"}],
) -> None:
    """Read labels that people drew or corrected, in any format, and lock what they did.

    Images match by their content, else by name. What people drew, moved, relabelled, confirmed or
    deleted stays so whatever runs later; `refine` makes masks of boxes that they drew. Each import
    is one file in `WS/decisions/`.
    """
    from autolabel.cli.show_labels import imported
    from autolabel.stages.importing import import_labels

    home = needed(workspace)
    move_source(home, source_root)
    with show.Reporter() as report, show.stopping("run the same command again"):
        done = import_labels(home, source, config, engine, dry_run=dry_run, report=report)
    imported(done, json)
