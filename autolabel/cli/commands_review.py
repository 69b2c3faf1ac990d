"""`review`: the page on which people judge labels."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from autolabel.cli import show
from autolabel.cli.arguments import AllowUnfinished, Given, Json, SourceRoot, example
from autolabel.cli.commands_stages import app
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source
from autolabel.config import ReviewConfig

if TYPE_CHECKING:
    from autolabel.review.prepare import Review
    from autolabel.store import Workspace


@app.command(epilog=example("review ws --queue uncertain --limit 50"))
@expand
def review(
    workspace: Given,
    source_root: SourceRoot = None,
    allow_unfinished: AllowUnfinished = False,
    json: Json = False,
    *,
    config: ReviewConfig,
) -> None:
    """Open a page on this machine to judge labels: one key accepts, rejects or corrects.

    The page needs `pip install 'autolabel[serve]'`. Its address, with a secret, is printed on
    standard output. Each decision is on disk before the page goes on; Ctrl-C ends the review, and
    the same command goes on with it. With `--json`, print how far it is and what the audit says,
    and open no page.
    """
    from autolabel.review.prepare import prepare
    from autolabel.web.serving import require_server

    home = existing(workspace)
    move_source(home, source_root)
    if not json:
        require_server()
    at = prepare(home, config, show.message, allow_unfinished=allow_unfinished)
    if json:
        show.data(at.as_json())
        return
    if at.session.progress().left:
        with suppress(KeyboardInterrupt):  # the way to end it
            _serve(home, at, config)
    _ended(home, at)


def _serve(home: Workspace, at: Review, config: ReviewConfig) -> None:
    """Serve the page until it is ended, and print its address."""
    import webbrowser

    from autolabel.review.pictures import Pictures
    from autolabel.review.server import application
    from autolabel.stages.running import existing_root
    from autolabel.web.guard import LOOPBACK, Guard
    from autolabel.web.serving import address_of, listen, new_token, serve

    page = application(at.session, Pictures(existing_root(home)), at.queue, at.result)
    with listen(config.host, config.port) as listener:
        port, token = listener.getsockname()[1], new_token()
        address = address_of(config.host, port, token)
        if config.host not in LOOPBACK:
            show.message(
                f"warning: whoever has the address can see these photos over {config.host}, "
                "and what is sent is not encrypted"
            )

        def ready() -> None:
            before = at.session.progress()
            show.message(f"review: {before.left} of {before.total} to look at; Ctrl-C ends it")
            typer.echo(address)
            if config.open:
                webbrowser.open(address)

        serve(Guard(page, host=config.host, port=port, token=token), listener, ready)


def _ended(home: Workspace, at: Review) -> None:
    """Lay what was said over the labels, and say how far the review is."""
    from autolabel.stages.corrected import refresh

    refresh(home)
    progress = at.session.progress()
    skipped = f", {progress.skipped} skipped" if progress.skipped else ""
    show.message(f"review: {progress.done} of {progress.total} decided{skipped}")
    result = at.result()
    for line in result.sentences() if result else ():
        show.message(f"{result.name if result else ''}: {line}")
    if progress.left:
        show.message("review: the same command goes on with the rest")
