"""The command `autolabel` itself, which the modules of commands add theirs to."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from autolabel import __version__
from autolabel.cli.arguments import example


class Commands(TyperGroup):
    """Our own commands, and one for each stage that another package brings."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names, ours first."""
        from autolabel.stages.table import STAGES

        ours = super().list_commands(ctx)
        return [*ours, *(name for name in STAGES.plugins.values if name not in ours)]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of that name; packages are looked at only where it is not ours."""
        ours = super().get_command(ctx, cmd_name)
        if ours is not None:
            return ours
        from autolabel.cli.commands_stages import brought

        return brought(cmd_name)


app = typer.Typer(
    name="autolabel",
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autolabel {__version__}")
        raise typer.Exit


@app.callback(epilog=example("detect photos --workspace ws --prompt cat"))
def autolabel(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Never touch the network: models must be on disk. Before the command: "
            "`autolabel --offline detect …`. HF_HUB_OFFLINE=1 does the same.",
        ),
    ] = False,
) -> None:
    """From a folder of raw images and a few words to a training dataset.

    Pretrained models are the annotation team: **ingest** images, **detect** what the prompts name,
    **refine** boxes to masks, **filter** out what does not belong, **export** the labels, **train**
    a small detector on them, **evaluate** both against hand labels and **report** on one page.
    **run** does all of it from one file.
    """
    if offline:
        from autolabel.registry import hub

        hub.offline()
