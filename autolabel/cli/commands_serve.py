"""`serve`: labels for annotation tools that ask for them."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated

import typer

from autolabel.cli import show
from autolabel.cli.arguments import Given, SourceRoot, example
from autolabel.cli.commands_stages import app
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source
from autolabel.config import EngineConfig, ServeConfig


@app.command(epilog=example("serve ws --port 9090"))
@expand
def serve(
    workspace: Given,
    source_root: SourceRoot = None,
    *,
    config: ServeConfig,
    engine: Annotated[EngineConfig, {"engine", "batch_size", "workers"}],
) -> None:
    """Answer Label Studio: labels of the workspace as predictions, its annotations as decisions.

    It speaks the protocol of Label Studio's machine learning backends: connect it under Settings,
    Model. Photos that are in the workspace are answered with its labels, at once; others are shown
    to its models. Annotations that a webhook sends are on disk before it is answered. The server
    needs `pip install 'autolabel[serve]'`. Ctrl-C ends it.
    """
    from autolabel.serving.run import serve_labels

    home = existing(workspace)
    move_source(home, source_root)

    def ready(address: str) -> None:
        show.message("serve: Ctrl-C ends it")
        typer.echo(address)

    with suppress(KeyboardInterrupt):  # the way to end it
        serve_labels(
            home, config, engine.device, lambda line: show.message(f"serve: {line}"), ready
        )
