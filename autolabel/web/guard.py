"""The door of a server: host, origin, secret and size of each request, headers of each answer."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = {
    "content-security-policy": (
        "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "object-src 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""Of every answer: nothing from elsewhere, nothing inline, in no frame, kept nowhere."""

_WELCOME = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>autolabel</title>"
    '<meta http-equiv=refresh content="0;url=/"><p><a href="/">Go on</a></p></html>'
)
"""Not a redirect: a browser that comes from elsewhere would not send a strict cookie with it."""
_NO_TOKEN = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>autolabel</title>"
    "<p>Open the address that the command printed: it ends in a secret that this page needs, and "
    "each start has a new one.</p></html>"
)


LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
"""Hosts that no other machine reaches."""


def host_names(host: str) -> frozenset[str]:
    """Return the names by which a server that listens on `host` may be asked, in lower case.

    Any address in digits is one where it listens on all: a name that points here by somebody
    else's doing is none.

    >>> sorted(host_names("127.0.0.1"))
    ['127.0.0.1', '[::1]', 'localhost']
    """
    names = {"127.0.0.1", "localhost", "[::1]"}
    if host not in LOOPBACK:
        names |= {host.lower(), f"[{host.lower()}]", socket.gethostname().lower()}
    return frozenset(names)


class Guard:
    """Let through what our own page asks, and refuse the rest; an ASGI application around another.

    Args:
        app: what is guarded.
        host: that the server listens on.
        port: of the server, part of each name that it is asked by.
        token: what a client must hold, in ``?token=``, which is answered with a cookie, or in that
            cookie; None lets all clients in.
        largest_body: bytes of a request.
        open_paths: that need no token.
        other_names: by which the server may be asked too, as by a container's.
    """

    def __init__(
        self,
        app: App,
        *,
        host: str,
        port: int,
        token: str | None,
        largest_body: int = 2**18,
        open_paths: Iterable[str] = (),
        other_names: Iterable[str] = (),
    ) -> None:
        self.app, self.port, self.token = app, port, token
        self.names = host_names(host) | {name.lower() for name in other_names}
        self.listens_on_all = host in ("0.0.0.0", "::")
        self.largest_body, self.open_paths = largest_body, frozenset(open_paths)
        self.cookie = f"autolabel_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no server of ours speaks anything else
        headers = _headers(scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        if self._brings_token(scope):
            cookie = f"{self.cookie}={self.token}; HttpOnly; SameSite=Strict; Path=/"
            await _answer(send, 200, _WELCOME, cookie)
            return
        if self.token and scope["path"] not in self.open_paths and not self._has_cookie(headers):
            await _answer(send, 403, _NO_TOKEN)
            return
        body = await self._body(receive)
        if body is None:
            await _answer(send, 413, "the request is too large")
            return
        await self.app(scope, _again(body, receive), _with_headers(send))

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        """Return status and text for a request that is not from our page to our host, or None."""
        if not self._is_ours(headers.get("host", "")):
            return 403, "this server goes by another name"
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{headers['host']}":
            return 403, "asked by a page from elsewhere"
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none") and (
            scope["method"] not in ("GET", "HEAD") or scope["path"] != "/"
        ):
            return 403, "asked by a page from elsewhere"
        if scope["method"] not in ("GET", "HEAD"):
            kind = headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":  # what a form of another page cannot send
                return 415, "the request is not JSON"
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self.largest_body:
            return 413, "the request is too large"
        return None

    def _is_ours(self, host: str) -> bool:
        """Tell whether a Host header names this server."""
        name, colon, port = host.lower().rpartition(":")
        if not colon or port != str(self.port):
            name, port = host.lower(), "80"
        if port != str(self.port):
            return False
        return name in self.names or (self.listens_on_all and _is_address(name))

    def _brings_token(self, scope: Scope) -> bool:
        """Tell whether the address holds the token, as the one that was printed."""
        if not self.token or scope["path"] != "/" or scope["method"] != "GET":
            return False
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])
        return _equal(given[0], self.token)

    def _has_cookie(self, headers: dict[str, str]) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return found is not None and _equal(found.value, self.token or "")

    async def _body(self, receive: Receive) -> bytes | None:
        """Read a body, whatever its length was said to be; None where it is too large."""
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self.largest_body:
                return None
        return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Return `receive` that gives a body that was read, then what comes."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode("utf-8", "replace"), other.encode())


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True


def _headers(scope: Scope) -> dict[str, str]:
    """Return the headers; of one that comes twice, a text that fits nothing."""
    found: dict[str, str] = {}
    for key, value in scope["headers"]:
        name = key.decode("latin-1").lower()
        found[name] = value.decode("latin-1") if name not in found else f"{found[name]}, twice"
    return found


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            ours = {key.encode(): value.encode() for key, value in HEADERS.items()}
            theirs = [(k, v) for k, v in message.get("headers", []) if k.lower() not in ours]
            message["headers"] = [*theirs, *ours.items()]
        await send(message)

    return sending


async def _answer(send: Send, status: int, text: str, cookie: str | None = None) -> None:
    kind = "text/html; charset=utf-8" if text.startswith("<") else "text/plain; charset=utf-8"
    body = text.encode()
    headers = {**HEADERS, "content-type": kind, "content-length": str(len(body))}
    if cookie:
        headers["set-cookie"] = cookie
    pairs = [(key.encode(), value.encode()) for key, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
