"""The command: what it prints, whom it answers, how it ends."""

from __future__ import annotations

import base64
import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.conftest import Run, make_photos
from tests.datasets.conftest import Fixture


@pytest.fixture
def made(tmp_path: Path) -> Fixture:
    made = Fixture(tmp_path, make_photos(tmp_path / "photos", 2))
    made.label()
    return made


def status(address: str, password: str | None = None) -> int:
    request = urllib.request.Request(f"{address}health")
    if password is not None:
        secret = base64.b64encode(f"autolabel:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {secret}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            assert json.load(answer)["status"] == "UP"
            return int(answer.status)
    except urllib.error.HTTPError as e:
        return e.code


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_answers_until_it_is_stopped(made: Fixture, host: str) -> None:
    command = [sys.executable, "-m", "autolabel", "serve", str(made.workspace.path)]
    server = subprocess.Popen(
        [*command, "--port", "0", "--host", host],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    assert server.stderr is not None
    try:
        address = server.stdout.readline().strip()
        said = [server.stderr.readline() for _ in range(3 if host == "0.0.0.0" else 2)]
        if host == "0.0.0.0":
            password = said[0].split()[-1]
            assert status(address) == 401
            assert status(address, password) == 200
        else:
            assert status(address) == 200
    finally:
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
    assert (server.returncode, out) == (0, ""), err
    assert "detect/ of" in "".join(said)


def test_what_is_wrong_is_said_before_it_listens(made: Fixture, run: Run) -> None:
    home = made.workspace.path
    wrong = run("serve", home, "--document-root", made.root / "nowhere")
    assert (wrong.status, "is not a folder" in wrong.err) == (2, True)
    wrong = run("serve", made.root / "nowhere")
    assert (wrong.status, "does not exist" in wrong.err) == (2, True)
    wrong = run("serve", home, "--from", "refine")
    assert wrong.status == 1
