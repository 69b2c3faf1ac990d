"""The usual mistakes: each is one `error:` and one `hint:`, and leaves the workspace usable."""

from __future__ import annotations

import errno
import os
import socket
from pathlib import Path

import pytest

from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run, make_photos


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    make_photos(tmp_path / "photos", 3)
    return tmp_path / "photos"


@pytest.fixture
def workspace(tmp_path: Path, photos: Path, run: Run) -> Path:
    path = tmp_path / "ws"
    assert run("ingest", photos, "--workspace", path).status == 0
    return path


def refused(run: Run, *arguments: object) -> tuple[int, str, str]:
    done = run(*arguments)
    lines = done.err.strip().splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    hints = [line for line in lines if line.startswith("hint: ")]
    assert (len(errors), len(hints)) == (1, 1), done.err
    assert lines[-2:] == [errors[0], hints[0]]
    assert "Traceback" not in done.err
    return done.status, errors[0], hints[0]


@pytest.mark.parametrize(
    ("arguments", "status", "error", "hint"),
    [
        (["ingest", "{t}/photoz", "-w", "{t}/n"], 1, "no such file or folder", "photos"),
        (["ingest", "{t}/empty", "-w", "{t}/n"], 1, "no images", ""),
        (["ingest", "{t}/photos"], 2, "no workspace is named", "--workspace"),
        (["ingest", "{t}/photos", "-w", "{t}/ws", "--min-sid", "3"], 2, "--min-sid", "--min-side"),
        (["ingest", "{t}/photos", "-w", "{t}/ws", "--min-side", "x"], 2, "--min-side", "pixels"),
        (
            ["ingest", "{t}/photos", "-w", "{t}/ws", "--min-side", "9"],
            1,
            "min_side 0, not 9",
            "--ov",
        ),
        (["ingest", "{t}/photos", "-w", "{t}/photos/0000.png"], 1, "cannot be written", ""),
        (["ingest", "{t}/photos", "-w", "{t}/n", "--holdout", "{t}/no"], 1, "no such file", ""),
        (["ingest", "{t}/photos", "-w", "{t}/photos"], 2, "lies in the workspace", "photos-labels"),
        (["ingest", "{t}/photos", "-w", "{t}"], 2, "lies in the workspace", "--workspace"),
        (["ingest", "{t}/photos/*.png", "-w", "{t}/photos"], 2, "lies in the workspace", "beside"),
        (["ingest", "{t}/photos", "-w", ""], 2, "a path is empty", "folder"),
        (["ingest", "", "-w", "{t}/ws"], 2, "a path is empty", "folder"),
        (["status", ""], 2, "a path is empty", "folder"),
        (["detect", "{t}/ws"], 2, "nothing to look for", "--prompt"),
        (["detect", "{t}/ws", "--promt", "cat"], 2, "--promt", "--prompt"),
        (["detect", "{t}/ws", "--prompt", "cat, dog"], 2, "lists 2 things", "--prompt dog;"),
        (["detect", "{t}/ws", "--prompt", "cat . dog ."], 2, "lists 2 things", "NAME=cat, dog"),
        (
            ["detect", "{t}/ws", "--prompt", "cat", "--box-threshold", "2"],
            2,
            "--box-threshold",
            "s",
        ),
        (
            ["detect", "{t}/ws", "--prompt", "cat", "--class-threshold", "ca=0.1"],
            2,
            "'ca'",
            "'cat'",
        ),
        (
            ["detect", "{t}/ws", "--prompt", "cat", "--class-threshold", "cat"],
            2,
            "NAME=VALUE",
            "cat",
        ),
        (["detect", "{t}/ws", "--prompt", "cat", "--device", "gpu"], 2, "--device", "cuda"),
        (["detect", "{t}/ws", "--prompt", "cat", "--batch-size", "-1"], 2, "--batch-size", ""),
        (["detect", "{t}/ws", "--ontology", "{t}/none.yaml"], 1, "none.yaml cannot be read", ""),
        (
            ["detect", "{t}/ws", "--prompt", "a", "--model", "grounding-dino-tin"],
            1,
            "no model",
            "tiny",
        ),
        (["detect", "{t}/ws", "--prompt", "a"], 1, "cannot be fetched", "autolabel models pull"),
        (["detect", "{t}/ws", "--prompt", "a", "--from", "imges"], 1, "no layer 'imges'", "images"),
        (["detect", "{t}/photos", "--prompt", "a"], 2, "is not a workspace", "--workspace"),
        (["export", "{t}/ws", "--out", "{t}/o"], 1, "no labels yet", "autolabel detect"),
        (["export", "{t}/ws"], 2, "out is missing", "Folder"),
        (["export", "{t}/none", "--out", "{t}/o"], 2, "does not exist", "autolabel ingest"),
        (
            ["export", "{t}/ws", "--out", "{t}/o", "--format", "tfrecord"],
            2,
            "--format cannot be tfrecord",
            "F",
        ),
        (["evaluate", "{t}/ws", "--truth", "{t}/none"], 1, "none", ""),
        (["status", "{t}/photos"], 2, "is not a workspace", "autolabel ingest"),
        (["run", "{t}/none.yaml"], 1, "none.yaml cannot be read", "YAML"),
        (["exprot"], 2, "exprot", "export"),
        (["detect"], 2, "SOURCE_OR_WS", "--help"),
    ],
)
def test_a_mistake_is_named_and_answered(
    run: Run,
    tmp_path: Path,
    workspace: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    status: int,
    error: str,
    hint: str,
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    before = {p: p.read_bytes() for p in workspace.rglob("*.parquet")}
    beside = {p.name for folder in (tmp_path, tmp_path / "photos") for p in folder.iterdir()}
    got, message, answer = refused(run, *[a.replace("{t}", str(tmp_path)) for a in arguments])
    assert got == status
    assert error in message
    assert hint in answer
    assert {p: p.read_bytes() for p in workspace.rglob("*.parquet")} == before
    assert run("status", workspace).status == 0
    assert {p.name for f in (tmp_path, tmp_path / "photos") for p in f.iterdir()} - beside <= {"n"}


def test_a_full_disk(
    run: Run, tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_photos(photos, 9)
    workspace = tmp_path / "ws"

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("autolabel.store.files.os.fsync", full)
        status, error, hint = refused(run, "ingest", photos, "-w", workspace)
    assert (status, "No space left" in error, "same command" in hint) == (1, True, True)
    assert run("ingest", photos, "-w", workspace).status == 0
    assert sum(1 for _ in Workspace(workspace).require("images").records()) == 9


def test_a_name_with_markup_and_newlines_stays_text(run: Run, tmp_path: Path) -> None:
    _, error, _ = refused(run, "ingest", tmp_path / "[red]a\nerror: b[/]", "-w", tmp_path / "w")
    assert error.endswith("[red]a?error: b[/]")


@pytest.mark.parametrize("size", [0, 100])
@pytest.mark.parametrize(
    "command",
    [["filter", "--min-side", "3"], ["filter", "--dry-run"], ["filter", "--clip", "{clip}"]],
)
def test_a_damaged_shard_is_named(
    run: Run, workspace: Path, random_detector: Path, size: int, command: list[str]
) -> None:
    found = run("detect", workspace, "--model", random_detector, "--prompt", "cat")
    assert found.status == 0, found.err
    shard = workspace / "detect/part-00000.parquet"
    os.truncate(shard, size)
    clip = str(SAMPLE / "models/clip")
    first, *rest = (a.replace("{clip}", clip) for a in command)
    status, error, hint = refused(run, first, workspace, *rest)
    assert status == 1
    assert str(shard) in error
    assert "delete part-00000.parquet and run autolabel detect again" in hint


@pytest.mark.parametrize(
    "command",
    [
        ["models", "pull", "grounding-dino-tiny"],
        ["detect", "{ws}", "--prompt", "cat", "--model", "owner/name"],
        ["detect", "{ws}", "--prompt", "cat"],
    ],
)
@pytest.mark.parametrize("trouble", ["no route", "no name", "no certificates"])
def test_a_network_that_is_down(
    run: Run,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: list[str],
    trouble: str,
) -> None:
    import huggingface_hub

    def unreachable(*args: object, **options: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    def nameless(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    huggingface_hub.close_session()  # a client of an earlier test has its certificates
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("autolabel.registry.download.pause", lambda seconds, stop: None)
    monkeypatch.setattr(socket, "getaddrinfo", nameless if trouble == "no name" else unreachable)
    if trouble == "no certificates":
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    status, error, hint = refused(run, *[a.replace("{ws}", str(workspace)) for a in command])
    assert status == 1
    assert "the hub does not answer" in error
    assert "autolabel models pull" in hint
    huggingface_hub.close_session()
