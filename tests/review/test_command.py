"""The command: what it prints where, and what it says that is wrong."""

from __future__ import annotations

import builtins
import socket
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from autolabel.review.answer import Answer
from autolabel.store import Workspace
from autolabel.web import serving
from tests.conftest import Run
from tests.review import made


@pytest.fixture
def ended(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The server is ended by Ctrl-C as soon as it is there; the addresses that were opened."""

    def serve(app: Any, listener: socket.socket, ready: Callable[[], None]) -> None:
        ready()
        raise KeyboardInterrupt

    opened: list[str] = []
    monkeypatch.setattr(serving, "serve", serve)
    monkeypatch.setattr("webbrowser.open", opened.append)
    return opened


def test_standard_output_is_the_address_alone(run: Run, home: Workspace, ended: list[str]) -> None:
    done = run("review", home.path, "--no-open", "--by", "ann")
    assert done.status == 0
    (address,) = done.out.splitlines()
    start, token = address.split("?token=")
    assert start.startswith("http://127.0.0.1:")
    assert len(token) >= 40
    assert "24 of 24 to look at" in done.err
    assert "the same command goes on with the rest" in done.err
    assert ended == []
    again = run("review", home.path, "--by", "ann")
    assert token not in again.out  # each start has its own
    assert ended == [again.out.strip()]


def test_what_was_said_is_in_the_labels_at_the_end(
    run: Run, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(app: Any, listener: socket.socket, ready: Callable[[], None]) -> None:
        at = made.review(home)
        item = made.objects_of(at)[0]
        at.session.decide(Answer(id=uuid4().hex, key=item.key, action="reject"))
        assert not home.layer("corrected").exists

    monkeypatch.setattr(serving, "serve", serve)
    run("review", home.path, "--no-open")
    kept = sum(int(record.objects.keep.sum()) for record in home.layer("corrected").records())
    assert kept == 23


def test_other_machines_are_let_in_only_when_asked_and_with_a_warning(
    run: Run, home: Workspace, ended: list[str]
) -> None:
    assert "warning" not in run("review", home.path, "--no-open").err
    assert "warning" not in run("review", home.path, "--no-open", "--host", "localhost").err
    done = run("review", home.path, "--no-open", "--host", "0.0.0.0")
    assert "not encrypted" in done.err
    assert done.out.startswith("http://127.0.0.1:")


def test_without_the_extra_it_names_the_line_to_type(
    run: Run, home: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def none(name: str, *rest: Any, **more: Any) -> Any:
        if name.split(".")[0] in ("starlette", "uvicorn"):
            raise ImportError(f"No module named {name!r}", name=name)
        return imported(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", none)
    done = run("review", home.path)
    assert done.status == 1
    assert "starlette is not installed" in done.err
    assert "pip install 'autolabel[serve]'" in done.err
    assert run("review", home.path, "--json").json()["total"] == 24  # needs no page


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (["--queue", "strange"], 2, "there is no queue 'strange'"),
        (["--queue", "class=cow"], 2, "'cow'"),
        (["--audit", "0"], 2, "--audit cannot be 0"),
        (["--limit", "0"], 2, "--limit cannot be 0"),
        (["--port", "70000"], 2, "--port cannot be 70000"),
        (["--layer", "filter"], 1, "filter"),
        (["--host", "no.such.host.invalid"], 2, "there is no host"),
    ],
)
def test_mistakes_say_what_to_type(
    run: Run, home: Workspace, options: list[str], status: int, said: str
) -> None:
    done = run("review", home.path, "--no-open", *options)
    assert (done.status, done.out) == (status, "")
    assert said in done.err
    assert "hint:" in done.err


def test_a_port_in_use_is_said(run: Run, home: Workspace) -> None:
    with serving.listen("127.0.0.1", 0) as one:
        done = run("review", home.path, "--no-open", "--port", one.getsockname()[1])
    assert done.status == 2
    assert "cannot be used" in done.err


def test_photos_that_are_away_are_said_before_the_page(run: Run, home: Workspace) -> None:
    with home.lock():
        home.set_source_root(home.path / "nowhere")
    done = run("review", home.path, "--no-open")
    assert (done.status, done.out) == (1, "")
    assert "--source-root" in done.err
