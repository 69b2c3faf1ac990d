"""Workspaces that something else has changed: one error that names the file, and nothing opened."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Run, make_photos


@pytest.fixture
def workspace(tmp_path: Path, run: Run) -> Path:
    make_photos(tmp_path / "photos", 3)
    assert run("ingest", tmp_path / "photos", "-w", tmp_path / "ws").status == 0
    return tmp_path / "ws"


def refused(run: Run, workspace: Path, *words: str, command: str = "status") -> None:
    done = run(command, workspace)
    errors = [line for line in done.err.splitlines() if line.startswith("error: ")]
    assert (done.status, len(errors)) == (1, 1), done.err
    assert all(word in errors[0] for word in words), errors


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("stage", 5), ("settings", []), ("model", {"name": 1}), ("version", None), ("shards", -1),
        ("shards", True), ("shards", 10**400), ("source", {"layer": "../../x", "fingerprint": ""}),
        ("source", {}), ("source_root", 7), ("source_root", "a\0b"), ("origin", None), ("more", 1),
        ("digests", {"0": 5}), ("digests", {"x": "y"}), ("stage", "\ud800"),
    ],
)  # fmt: skip
def test_a_manifest_of_wrong_types(run: Run, workspace: Path, key: str, value: Any) -> None:
    path = workspace / "images/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text("utf-8")), key: value}), "utf-8")
    refused(run, workspace, "images/manifest.json is damaged")


def rewritten(shard: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard, and note its new digest as one would who wants it to be believed."""
    table = pq.ParquetFile(shard).read()
    pq.write_table(change(table).replace_schema_metadata(table.schema.metadata), shard)
    path = shard.parent / "manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["digests"]["0"] = hashlib.sha256(shard.read_bytes()).hexdigest()
    path.write_text(json.dumps(manifest), "utf-8")


def column(name: str, *values: Any) -> Callable[[pa.Table], pa.Table]:
    def change(table: pa.Table) -> pa.Table:
        i = table.schema.get_field_index(name)
        return table.set_column(i, name, pa.array(values, table.schema.field(name).type))

    return change


def thing(**fields: Any) -> list[dict[str, Any]]:
    whole = {"label": "a", "score": 0.5, "xyxy": [1, 1, 9, 9], "mask": None, "keep": True,
             "reason": None, "prompt": None, "scores": []}  # fmt: skip
    return [{**whole, **fields}]


NAN = float("nan")


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns(["uri"]),
        lambda table: table.append_column("uri", table.column("uri")),
        lambda table: table.set_column(2, "width", pa.array(["a", "b", "c"])),
        lambda table: pa.table({"a": [1]}),
        lambda table: table.take(pa.array([0] * 150_000)),
        column("image_id", "../../", "b", "c"),
        column("image_id", None, "b", "c"),
        column("width", 10**9, 96, 96),
        column("width", -1, 96, 96),
        column("width", 0, 96, 96),
        column("phash", "zz", None, None),
        column("objects", None, [], []),
        column("objects", [None], [], []),
        column("objects", thing(xyxy=[NAN, 0, 1, 1]), [], []),
        column("objects", thing(xyxy=[9, 9, 1, 1]), [], []),
        column("objects", thing(xyxy=[0, 0, 1e30, 1e30]), [], []),
        column("objects", thing(score=NAN), [], []),
        column("objects", thing(label=None), [], []),
        column("objects", thing(mask=b"PPPPPPPPPPPP"), [], []),
        column("objects", thing(mask=b"0"), [], []),
    ],
)
def test_a_shard_of_something_else(
    run: Run, workspace: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table]
) -> None:
    rewritten(workspace / "scan/part-00000.parquet", change)
    done = run("ingest", tmp_path / "photos", "-w", workspace, "--min-side", 3, "--overwrite")
    assert done.status == 1
    assert "scan/part-00000.parquet cannot be read" in done.err


@pytest.mark.parametrize(
    "uri", ["../../../etc/passwd", "/etc/passwd", "/dev/zero", "file:%2Fdev%2Fzero", "a/../../b"]
)
def test_a_photo_outside_of_the_root_is_not_opened(
    run: Run, workspace: Path, tmp_path: Path, detector: Path, uri: str
) -> None:
    rewritten(workspace / "images/part-00000.parquet", column("uri", uri, "b", "c"))
    done = run("detect", workspace, "--model", detector, "--prompt", "red blood cell")
    assert done.status == 1
    assert "images/part-00000.parquet" in done.err
    assert "outside of" in done.err


def test_what_ingest_was_given_beside_the_root_is_opened_here_alone(
    run: Run, workspace: Path, tmp_path: Path, random_detector: Path
) -> None:
    other = tmp_path / "other"
    make_photos(other, 5)
    look = ("--model", random_detector, "--prompt", "cat")
    assert run("ingest", other, "-w", workspace).status == 0
    copy = tmp_path / "copy"
    shutil.copytree(workspace, copy)  # as when it comes from somebody else
    assert run("detect", workspace, *look).status == 0
    done = run("detect", copy, *look)
    assert (done.status, "outside of" in done.err) == (1, True), done.err
    assert run("ingest", other, "-w", copy).status == 0
    assert run("detect", copy, *look).status == 0


@pytest.mark.parametrize("name", ["images/manifest.json", "images/part-00000.parquet", ".lock"])
def test_links_and_pipes_in_the_place_of_files(run: Run, workspace: Path, name: str) -> None:
    path = workspace / name
    path.unlink()
    os.mkfifo(path)
    refused(run, workspace, name, "not a regular file")
    path.unlink()
    path.symlink_to("/dev/zero")
    refused(run, workspace, name, "is a link")
    path.unlink()
    path.mkdir()
    if name != ".lock":
        refused(run, workspace, name, "is a folder")


def test_a_layer_behind_a_link_is_not_written_to(run: Run, workspace: Path, tmp_path: Path) -> None:
    (workspace / "images").rename(tmp_path / "away")
    (workspace / "images").symlink_to(tmp_path / "away")
    before = {p: p.read_bytes() for p in (tmp_path / "away").iterdir()}
    refused(run, workspace, "images is a link")
    done = run("ingest", tmp_path / "photos", "-w", workspace, "--min-side", 3, "--overwrite")
    assert done.status == 1
    assert {p: p.read_bytes() for p in (tmp_path / "away").iterdir()} == before


def test_sources_in_a_circle(run: Run, workspace: Path) -> None:
    path = workspace / "scan/manifest.json"
    manifest = json.loads(path.read_text("utf-8"))
    manifest["source"] = {"layer": "images", "fingerprint": ""}
    path.write_text(json.dumps(manifest), "utf-8")
    refused(run, workspace, "manifest.json", "leads back to itself")


def test_a_file_that_looks_like_a_shard_is_left_alone(run: Run, workspace: Path) -> None:
    shard = workspace / "images/part-00000.parquet"
    shutil.copy(shard, shard.with_name("part-00000 (1).parquet"))
    done = run("status", workspace, "--json")
    assert done.status == 0, done.err
    assert "part-00000 (1).parquet is not a shard" in done.err
    assert done.json()["layers"]["images"]["images"] == 3
