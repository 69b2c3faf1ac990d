"""A password before an application that other machines can reach: HTTP Basic, RFC 7617.

It is what Label Studio can be told of a model, and what it takes as a header of a webhook.
"""

from __future__ import annotations

import base64
import hmac

from autolabel.web.guard import App, Receive, Scope, Send

USER = "autolabel"


class Password:
    """Let through who knows the password of `USER`.

    Args:
        app: what is guarded.
        password: not empty.
    """

    def __init__(self, app: App, password: str) -> None:
        self.app = app
        secret = base64.b64encode(f"{USER}:{password}".encode())
        self.wanted = b"basic " + secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        given = dict(scope.get("headers", ())).get(b"authorization", b"")
        kind, _, secret = given.partition(b" ")
        if scope["type"] != "http" or hmac.compare_digest(
            kind.lower() + b" " + secret.strip(), self.wanted
        ):
            await self.app(scope, receive, send)
            return
        headers = [(b"www-authenticate", b'Basic realm="autolabel"'), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b""})
