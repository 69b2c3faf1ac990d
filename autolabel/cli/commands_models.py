"""The commands `models` and `models pull`."""

from __future__ import annotations

from typing import Annotated

import typer

from autolabel.cli import show
from autolabel.cli.arguments import Json, example
from autolabel.cli.complete import models as names_of_models
from autolabel.errors import AutolabelError

catalogue = typer.Typer()


@catalogue.callback(invoke_without_command=True, epilog=example("models --json"))
def models(context: typer.Context, json: Json = False) -> None:
    """List the names that --model takes, and which are present on this machine.

    A model is pinned to the commit that was first pulled, which is shown. A package can register
    more, by the entry point group `autolabel.models`.
    """
    if context.invoked_subcommand is not None:
        return
    from autolabel.cli.show_models import models as show_models
    from autolabel.cli.state import models_known

    show_models(models_known(), json)


@catalogue.command(epilog=example("models pull grounding-dino-tiny sam-vit-base"))
def pull(
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME", help="Registered names or hub ids.", autocompletion=names_of_models()
        ),
    ],
) -> None:
    """Fetch models ahead of time; a broken download goes on where it stopped."""
    from autolabel import registry
    from autolabel.registry import hub

    failed = 0
    for name in names:
        try:
            done = hub.pull(registry.hub_id_of(name), show.message)
        except AutolabelError as e:
            failed += 1
            show.problem(e.message, e.hint)
            continue
        size, came = done.size / 1e6, done.fetched / 1e6
        show.message(
            f"{name}: {done.files} files, {size:.1f} MB, {came:.1f} MB fetched, "
            f"commit {done.commit} -> {done.path}"
        )
    if failed:
        raise typer.Exit(1)
