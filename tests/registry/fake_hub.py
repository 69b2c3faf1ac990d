"""A small hub on localhost that speaks as much of the protocol as fetching needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40
FILES = {
    "config.json": b'{"model_type": "grounding-dino"}',
    "model.safetensors": bytes(range(256)) * 4096,
    "pytorch_model.bin": b"never",
    "modeling.py": b"never",
}
OLD = {
    "config.json": FILES["config.json"],
    "pytorch_model.bin": b"tensors",
    "tf_model.h5": b"never",
}


class FakeHub(ThreadingHTTPServer):
    """Serves `repositories`; breaks or corrupts the weights when told to."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.break_after: int | None = None
        self.corrupt = False
        self.status = 200
        self.repositories = {"a/b": FILES, "a/old": OLD}
        self.asked: list[tuple[str, str]] = []


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        _, *start, owner, name = self.path.partition("/resolve/")[0].split("?")[0].split("/")[:5]
        if start == ["api", "models"] and "/revision/" in self.path:
            owner, name = self.path.split("/")[3:5]
        hub_id = f"{owner}/{name}"
        if hub.status != 200:
            self.answer(hub.status, b"")
        elif hub_id not in hub.repositories:  # the client asks for things of its own too
            self.answer(404, b"")
        elif start:
            files = [{"rfilename": name} for name in hub.repositories[hub_id]]
            self.answer(200, json.dumps({"id": hub_id, "sha": COMMIT, "siblings": files}).encode())
        else:
            file = self.path.rsplit("/", 1)[1]
            self.file(file, hub.repositories[hub_id][file])

    def file(self, name: str, body: bytes) -> None:
        hub = self.server
        wanted = self.headers.get("Range", "")
        if self.command == "GET":
            hub.asked.append((name, wanted))
        etag = hashlib.sha256(body).hexdigest()
        extra = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(len(body))}
        if hub.corrupt:
            body = body[:-1] + b"?"
        start = int(wanted[6:].split("-")[0]) if wanted else 0
        whole = name != "model.safetensors" or hub.break_after is None
        sent = body[start:] if whole else body[start : hub.break_after]
        self.answer(206 if wanted else 200, sent, length=len(body) - start, extra=extra)
        if not whole:
            self.close_connection = True

    def answer(
        self,
        status: int,
        body: bytes,
        length: int | None = None,
        extra: dict[str, str] | None = None,
    ) -> None:
        self.send_response(status)
        for key, value in (extra or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)


@contextmanager
def serving() -> Iterator[FakeHub]:
    server = FakeHub()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def autolabel(
    *arguments: object, cache: Path, endpoint: str, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own, with a hub's cache and an address of its own."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    env |= {"HF_HOME": str(cache), "HF_ENDPOINT": endpoint, **extra}
    command = [sys.executable, "-m", "autolabel", *map(str, arguments)]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100)
