"""`serve`: the labels of a workspace behind a port, until it is stopped."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from autolabel.config import ServeConfig
from autolabel.errors import UsageError
from autolabel.serving.labels import Labels, Say
from autolabel.serving.password import USER, Password
from autolabel.store import Workspace
from autolabel.web.guard import LOOPBACK, App, Guard
from autolabel.web.serving import address_of, listen, new_token, require_server, serve

PASSWORD = "AUTOLABEL_SERVE_PASSWORD"
"""Environment variable: the password where others can reach the port; else a new one each time."""


def serve_labels(
    workspace: Workspace,
    config: ServeConfig,
    device: str,
    say: Say,
    ready: Callable[[str], None],
) -> None:
    """Answer Label Studio until Ctrl-C.

    Args:
        workspace: whose labels are answered, and where people's are recorded.
        config: who may ask, and what is answered.
        device: that models run on.
        say: called with a line for each thing that happened.
        ready: called with the address, once it can be asked.

    Raises:
        AutolabelError: there are no labels to serve, or the server is not installed.
        UsageError: the port is taken, or a folder is none.
    """
    require_server()
    from autolabel.serving.label_studio import LARGEST_BODY, application
    from autolabel.serving.models import Models

    roots = [] if config.document_root is None else [Path(config.document_root)]
    for root in roots:
        if not root.is_dir():
            raise UsageError(f"{root} is not a folder", hint="--document-root names a folder")
    labels = Labels(workspace, config.from_layer, roots)
    models = partial(Models, labels.layer, device) if config.model else None
    app: App = application(labels, models, say)
    if config.host not in LOOPBACK:
        password = os.environ.get(PASSWORD) or new_token()
        app = Password(app, password)
        say(f"others can reach this port: user {USER}, password {password}")
    listener = listen(config.host, config.port)
    port = listener.getsockname()[1]
    guarded = Guard(
        app, host=config.host, port=port, token=None, largest_body=LARGEST_BODY,
        other_names=config.known_as,
    )  # fmt: skip
    say(f"{labels.layer.name}/ of {workspace.path}, {len(labels.photos.uris)} photos")
    serve(guarded, listener, partial(ready, address_of(config.host, port)))
