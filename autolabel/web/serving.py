"""A port on this machine, and an application behind it until it is stopped."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable

from autolabel.errors import AutolabelError, UsageError
from autolabel.web.guard import App


def require_server() -> None:
    """See that the libraries of a server are installed.

    Raises:
        AutolabelError: they are not.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as e:
        raise AutolabelError(
            f"{e.name or 'starlette'} is not installed", hint="pip install 'autolabel[serve]'"
        ) from e


def new_token() -> str:
    """Return a secret that nobody can guess: 256 bits, safe in an address."""
    return secrets.token_urlsafe(32)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; whoever connects waits until it is served.

    Args:
        host: name or address to listen on.
        port: 0 takes a free one.

    Raises:
        UsageError: the port is taken or may not be used, or there is no such host.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as e:
        raise UsageError(f"there is no host {host!r}", hint="leave out --host") from e
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as e:
        listener.close()
        raise UsageError(
            f"port {port} of {host} cannot be used: {e.strerror}",
            hint="name another --port, or leave it out for a free one",
        ) from e
    return listener


def address_of(host: str, port: int, token: str | None = None) -> str:
    """Return the address of a page.

    >>> address_of("0.0.0.0", 8000, "secret")
    'http://127.0.0.1:8000/?token=secret'
    """
    shown = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{port}/" + (f"?token={token}" if token else "")


def serve(app: App, listener: socket.socket, ready: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C or SIGTERM; what is being answered is answered.

    Args:
        app: what to serve.
        listener: of `listen`.
        ready: called before the first request is answered.
    """
    import uvicorn

    config = uvicorn.Config(
        app, log_config=None, access_log=False, server_header=False, lifespan="off",
        timeout_graceful_shutdown=5, ws="none", proxy_headers=False,
    )  # fmt: skip
    ready()
    uvicorn.Server(config).run(sockets=[listener])
