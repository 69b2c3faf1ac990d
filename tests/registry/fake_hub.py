"""A small hub on localhost that speaks as much of the protocol as fetching needs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "c" * 40
FILES = {
    "config.json": b'{"model_type": "grounding-dino"}',
    "preprocessor_config.json": b"{}",
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
    """Serves `repositories`; its faults are of the weights, where nothing else is said.

    Attributes:
        break_after: where an answer ends before its time, in bytes of the file.
        breaks: how often it does so.
        corrupt: whether a byte is wrong.
        too_much: bytes that are sent after the end, without saying so in the header.
        status: of every answer.
        failing: answers to the next requests for a file, each a status and headers.
        etag: what stands in place of each file's hash.
        stated: whether the listing states sizes and hashes, as the hub's own does.
        states: sizes that the hub states wrongly.
        slow: seconds that each file takes.
        asked: files asked for, each with the range.
        tokens: what the requests gave as their right to ask.
        most_at_once: files that were sent at one time.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.break_after: int | None = None
        self.breaks = 10**6
        self.corrupt = False
        self.too_much = 0
        self.status = 200
        self.failing: list[tuple[int, dict[str, str]]] = []
        self.etag = ""
        self.stated = False
        self.states: dict[str, int] = {}
        self.slow = 0.0
        self.sending = self.most_at_once = 0
        self.lock = threading.Lock()
        self.repositories = {"a/b": FILES, "a/old": OLD}
        self.asked: list[tuple[str, str]] = []
        self.tokens: set[str] = set()


class Handler(BaseHTTPRequestHandler):
    server: FakeHub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub = self.server
        hub.tokens.add(self.headers.get("Authorization", ""))
        _, *start, owner, name = self.path.partition("/resolve/")[0].split("?")[0].split("/")[:5]
        if start == ["api", "models"] and "/revision/" in self.path:
            owner, name = self.path.split("/")[3:5]
        hub_id = f"{owner}/{name}"
        if hub.status != 200:
            self.answer(hub.status, b"")
        elif hub_id not in hub.repositories:  # the client asks for things of its own too
            self.answer(404, b"")
        elif start:
            files = [self.listed(*one) for one in hub.repositories[hub_id].items()]
            self.answer(200, json.dumps({"id": hub_id, "sha": COMMIT, "siblings": files}).encode())
        else:
            file = self.path.rsplit("/", 1)[1]
            self.file(file, hub.repositories[hub_id][file])

    def listed(self, name: str, body: bytes) -> dict[str, object]:
        if not self.server.stated:
            return {"rfilename": name}
        size = self.server.states.get(name, len(body))
        lfs = {"size": size, "sha256": hashlib.sha256(body).hexdigest(), "pointerSize": 100}
        git = hashlib.sha1(f"blob {size}\0".encode() + body).hexdigest()
        large = {"lfs": lfs} if name.endswith((".safetensors", ".bin")) else {}
        return {"rfilename": name, "size": size, "blobId": git, **large}

    def file(self, name: str, body: bytes) -> None:
        hub = self.server
        wanted = self.headers.get("Range", "")
        if self.command == "GET":
            hub.asked.append((name, wanted))
            if hub.failing:
                status, headers = hub.failing.pop(0)
                self.answer(status, b"", extra=headers)
                return
        etag = hub.etag or hashlib.sha256(body).hexdigest()
        size = hub.states.get(name, len(body))
        extra = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "X-Linked-Size": str(size)}
        faulty = name == "model.safetensors" and self.command == "GET"
        if hub.corrupt:
            body = body[:-1] + b"?"
        start = int(wanted[6:].split("-")[0]) if wanted else 0
        sent, length = body[start:], len(body) - start
        if faulty and hub.break_after is not None and hub.breaks > 0:
            hub.breaks -= 1
            sent = body[start : hub.break_after]
            self.close_connection = True
        with hub.lock:
            hub.sending += self.command == "GET"
            hub.most_at_once = max(hub.most_at_once, hub.sending)
        time.sleep(hub.slow)
        if faulty and hub.too_much:
            self.endless(sent, extra)
        else:
            self.answer(206 if wanted else 200, sent, length=length, extra=extra)
        with hub.lock:
            hub.sending -= self.command == "GET"

    def endless(self, body: bytes, extra: dict[str, str]) -> None:
        """The file, and more; how long it is, only its end tells."""
        hub = self.server
        self.send_response(200)
        for key, value in extra.items():
            self.send_header(key, value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            self.wfile.write(body)
            while hub.too_much > 0:
                self.wfile.write(bytes(1 << 16))
                hub.too_much -= 1 << 16

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
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
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
