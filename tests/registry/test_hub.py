"""Fetching from a small hub on localhost, and what is said where that fails."""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from autolabel import registry
from autolabel.store import Workspace
from tests.conftest import SAMPLE, Run, make_photos
from tests.registry.fake_hub import COMMIT, FILES, FakeHub, autolabel, serving


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with serving() as server:
        yield server


def pull(
    hub: FakeHub, cache: Path, *before: str, names: tuple[str, ...] = ("a/b",)
) -> subprocess.CompletedProcess[str]:
    endpoint = f"http://127.0.0.1:{hub.server_port}"
    return autolabel(*before, "models", "pull", *names, cache=cache, endpoint=endpoint)


def fetched(cache: Path) -> Path:
    return cache / "hub/models--a--b/snapshots" / COMMIT


def test_a_broken_download_goes_on_by_itself(hub: FakeHub, tmp_path: Path) -> None:
    hub.break_after, hub.breaks = 500_000, 1
    done = pull(hub, tmp_path)
    assert done.returncode == 0, done.stderr
    assert ("model.safetensors", "bytes=500000-") in hub.asked
    wanted = {"config.json", "preprocessor_config.json", "model.safetensors"}
    assert {p.name for p in fetched(tmp_path).iterdir()} == wanted
    assert (fetched(tmp_path) / "model.safetensors").read_bytes() == FILES["model.safetensors"]


def test_the_hubs_own_variables_count(hub: FakeHub, tmp_path: Path) -> None:
    done = autolabel(
        "models", "pull", "a/b", cache=tmp_path, endpoint=f"http://127.0.0.1:{hub.server_port}",
        HF_HUB_CACHE=str(tmp_path / "elsewhere"), HF_HUB_DISABLE_SYMLINKS="1", HF_TOKEN="hf_mine",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Bearer hf_mine" in hub.tokens
    folder = tmp_path / "elsewhere/models--a--b/snapshots" / COMMIT
    assert len(list(folder.iterdir())) == 3
    assert not any(path.is_symlink() for path in folder.iterdir())
    assert not (tmp_path / "hub").exists()


def test_a_corrupted_file_is_refused(hub: FakeHub, tmp_path: Path) -> None:
    hub.corrupt = True
    done = pull(hub, tmp_path)
    assert done.returncode == 1
    assert "checksum differs" in done.stderr
    assert not (fetched(tmp_path) / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("status", "hint"), [(401, "hf auth login"), (403, "hf auth login"), (404, "autolabel models")]
)
def test_a_refusal_is_one_error_and_one_hint(
    status: int, hint: str, hub: FakeHub, tmp_path: Path
) -> None:
    hub.status = status
    done = pull(hub, tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("error:") == done.stderr.count("hint:") == 1
    assert hint in done.stderr


def test_offline_asks_the_hub_nothing(hub: FakeHub, tmp_path: Path) -> None:
    done = pull(hub, tmp_path, "--offline")
    assert done.returncode == 1
    assert "the network is off" in done.stderr
    assert not hub.asked


def test_pickled_weights_are_fetched_where_there_are_no_others(
    hub: FakeHub, tmp_path: Path
) -> None:
    done = pull(hub, tmp_path, names=("a/old",))
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "hub/models--a--old/snapshots" / COMMIT
    assert {p.name for p in folder.iterdir()} == {"config.json", "pytorch_model.bin"}


def test_one_that_fails_does_not_stop_the_others(hub: FakeHub, tmp_path: Path) -> None:
    done = pull(hub, tmp_path, names=("a/missing", "no such name", "a/b"))
    assert done.returncode == 1
    assert done.stderr.count("error:") == done.stderr.count("hint:") == 2
    assert (fetched(tmp_path) / "model.safetensors").is_file()


def test_a_hub_that_is_not_there(tmp_path: Path) -> None:
    done = autolabel("models", "pull", "sam3", cache=tmp_path, endpoint="http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.count("error:") == done.stderr.count("hint:") == 1
    assert "does not answer" in done.stderr


def test_what_was_pulled_is_listed_and_stays_at_its_commit(hub: FakeHub, tmp_path: Path) -> None:
    hub.repositories["facebook/dinov2-small"] = FILES
    assert pull(hub, tmp_path, names=("dinov2-small",)).returncode == 0
    listed = autolabel("models", "--json", cache=tmp_path, endpoint="http://127.0.0.1:9")
    rows = {row["name"]: row for row in json.loads(listed.stdout)}
    wanted = ("config.json", "preprocessor_config.json", "model.safetensors")
    size = sum(len(FILES[name]) for name in wanted)
    assert (rows["dinov2-small"]["revision"], rows["dinov2-small"]["size_bytes"]) == (COMMIT, size)
    assert rows["dinov2-base"]["revision"] is None
    assert not rows["dinov2-base"]["on_disk"]
    shown = autolabel("models", cache=tmp_path, endpoint="http://127.0.0.1:9", COLUMNS="80")
    assert f"commit {COMMIT[:7]}" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.fixture
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(socket, "create_connection", forbidden)
    monkeypatch.setattr(socket, "getaddrinfo", forbidden)


TAKEN_BY = {
    "detector": ("detect", "--model"),
    "segmenter": ("refine", "--model"),
    "image-text": ("filter", "--clip"),
    "image": ("filter", "--dinov2"),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory, random_detector: Path) -> Path:
    """A folder with the workspace `ws` and bundled models, as a clone has them."""
    from autolabel.config import DetectConfig, EngineConfig, IngestConfig
    from autolabel.stages.detect import detect
    from autolabel.stages.ingest import ingest
    from autolabel.store import Workspace

    home = tmp_path_factory.mktemp("home")
    workspace, engine = Workspace(home / "ws"), EngineConfig(device="cpu")
    photos = make_photos(home / "photos", 1)
    ingest(workspace, IngestConfig(source=tuple(map(str, photos))), engine)
    config = DetectConfig(prompt=("cell",), model=str(random_detector), box_threshold=0.01)
    detect(workspace, config, engine)
    (home / "sample_data").symlink_to(SAMPLE)
    return home


@pytest.mark.parametrize("name", registry.MODELS)
@pytest.mark.usefixtures("no_sockets")
def test_without_a_network_each_model_is_one_error_and_one_hint(
    name: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, labelled: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.chdir(labelled)
    task = registry.MODELS[name].task
    command, option = TAKEN_BY[task]
    done = run("--offline", command, "ws", option, name)
    assert done.status == 1
    assert done.err.count("error:") == done.err.count("hint:") == 1
    assert str(tmp_path) in done.err
    assert f"autolabel models pull {name}" in done.err
    assert f"or use {registry.BUNDLED[task]} now" in done.err


def test_a_model_that_cannot_be_fetched_names_what_would_run(
    labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(labelled)
    done = autolabel(
        "refine", "ws", "--model", "sam-vit-base",
        cache=tmp_path, endpoint="http://127.0.0.1:9",
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr.count("error:") == done.stderr.count("hint:") == 1
    assert str(tmp_path / "hub") in done.stderr
    assert "autolabel models pull facebook/sam-vit-base" in done.stderr
    assert "or use sample_data/models/segmenter now" in done.stderr


def test_a_pulled_model_runs_without_a_network(
    hub: FakeHub, random_detector: Path, labelled: Path, tmp_path: Path
) -> None:
    files = {path.name: path.read_bytes() for path in random_detector.iterdir()}
    hub.repositories["IDEA-Research/grounding-dino-tiny"] = files
    assert pull(hub, tmp_path, names=("grounding-dino-tiny",)).returncode == 0
    hub.asked.clear()
    done = autolabel(
        "--offline", "detect", labelled / "photos", "--workspace", tmp_path / "ws",
        "--prompt", "cell", "--box-threshold", 0.01, "--model", "grounding-dino-tiny",
        cache=tmp_path, endpoint=f"http://127.0.0.1:{hub.server_port}",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert not hub.asked
    model = Workspace(tmp_path / "ws").layer("detect").manifest.model
    assert model == {
        "name": "IDEA-Research/grounding-dino-tiny",
        "revision": COMMIT,
        "sha256": hashlib.sha256(files["model.safetensors"]).hexdigest(),
    }
