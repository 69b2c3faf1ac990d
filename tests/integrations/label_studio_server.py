"""Label Studio on this machine, in a folder of its own, sending nothing anywhere."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PYTHON = "AUTOLABEL_LABEL_STUDIO_PYTHON"
"""Environment variable: the Python of an environment with `pip install label-studio`."""
USER, PASSWORD, TOKEN = "ann@example.org", "secret-12345", "0123456789abcdef" * 2 + "01234567"
SECONDS = 600


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


class Server:
    """A running Label Studio, asked over its API."""

    def __init__(self, url: str) -> None:
        self.url = url

    def call(self, path: str, data: Any = None) -> Any:
        """Return the answer to a GET, or with data to a POST."""
        body = None if data is None else json.dumps(data).encode()
        headers = {"Authorization": f"Token {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.loads(answer.read() or "null")
        except urllib.error.HTTPError as e:
            raise AssertionError(f"{path}: {e.code} {e.read()[:2000]!r}") from None

    def project(self, title: str, config: str, images: Path) -> int:
        """Return the id of a new project that serves a folder's images."""
        shown = {"show_collab_predictions": True}
        number: int = self.call(
            "/api/projects/", {"title": title, "label_config": config, **shown}
        )["id"]
        storage = {"project": number, "path": str(images), "title": "images", "use_blob_urls": True}
        self.call("/api/storages/localfiles/", storage)
        return number

    def tasks(self, project: int) -> list[Any]:
        """Return the tasks of a project, each with its predictions and annotations."""
        found = self.call(f"/api/tasks/?project={project}&fields=all&page_size=100")["tasks"]
        return [self.call(f"/api/tasks/{one['id']}/") for one in found]


@contextmanager
def label_studio(home: Path, document_root: Path) -> Iterator[Server]:
    """A server with one user; its database and what it prints lie in `home`."""
    port = free_port()
    env = {
        **os.environ,
        "HOME": str(home),
        "LABEL_STUDIO_BASE_DATA_DIR": str(home / "data"),
        "COLLECT_ANALYTICS": "false",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "LATEST_VERSION_CHECK": "false",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(document_root),
        "ML_BLOCK_LOCAL_IP": "false",
        "SSRF_PROTECTION_ENABLED": "false",
        "WEBHOOK_TIMEOUT": "60",
        "LABEL_STUDIO_USERNAME": USER,
        "LABEL_STUDIO_PASSWORD": PASSWORD,
        "LABEL_STUDIO_USER_TOKEN": TOKEN,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
    }
    for name in ("PYTHONPATH", "PYTHONWARNINGS"):
        env.pop(name, None)
    command = [str(Path(os.environ[PYTHON]).with_name("label-studio")), "start", "--no-browser"]
    command += ["--port", str(port), "--internal-host", "127.0.0.1"]
    with (home / "log.txt").open("wb") as log:
        process = subprocess.Popen(command, env=env, cwd=home, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        _until_up(url, process, home / "log.txt")
        yield Server(url)
    finally:
        process.terminate()
        process.wait(60)


def _until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        assert process.poll() is None, log.read_text("utf-8", "replace")[-3000:]
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            time.sleep(2)
    raise AssertionError(log.read_text("utf-8", "replace")[-3000:])
