"""What identifies weights in a manifest, and which checkpoints of the hub's cache are whole."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from autolabel import registry
from autolabel.registry import hub_cache
from tests.models.hub import COMMIT, put_in_cache

HUB_ID = registry.MODELS["grounding-dino-tiny"].hub_id


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    folder = tmp_path / "checkpoint"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "grounding-dino"}', "utf-8")
    (folder / "preprocessor_config.json").write_text("{}", "utf-8")
    return folder


def identity() -> dict[str, str]:
    return registry.locate("detector", HUB_ID, fetch=False).identity()


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_the_weights_of_a_model_from_the_hub_are_recorded(
    name: str, cache: Path, checkpoint: Path
) -> None:
    (checkpoint / name).write_bytes(b"weights")
    put_in_cache(cache, HUB_ID, checkpoint)
    assert identity() == {"name": HUB_ID, "revision": COMMIT, "sha256": sha256(b"weights")}
    (hub_cache.home(HUB_ID) / "snapshots" / COMMIT / name).write_bytes(b"other")
    assert identity()["sha256"] == sha256(b"other")


def test_safetensors_count_where_there_are_both(cache: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    (checkpoint / "pytorch_model.bin").write_bytes(b"not read")
    put_in_cache(cache, HUB_ID, checkpoint)
    assert identity()["sha256"] == sha256(b"weights")


def test_a_fetched_file_bears_its_sum_as_its_name(cache: Path, checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    put_in_cache(cache, HUB_ID, checkpoint)
    blob = hub_cache.home(HUB_ID) / "blobs" / ("e" * 64)
    blob.parent.mkdir()
    link = hub_cache.home(HUB_ID) / "snapshots" / COMMIT / "model.safetensors"
    link.replace(blob)
    link.symlink_to(blob)
    assert identity()["sha256"] == "e" * 64


def test_a_local_model_is_known_by_its_revision_alone(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").write_bytes(b"weights")
    assert set(registry.locate("detector", str(checkpoint)).identity()) == {"name", "revision"}


def test_weights_in_parts_are_whole_with_all_of_them(cache: Path, checkpoint: Path) -> None:
    parts = [f"model-0000{i}-of-00002.safetensors" for i in (1, 2)]
    index = {"weight_map": {"a": parts[0], "b": parts[1]}}
    (checkpoint / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")
    for part in parts:
        (checkpoint / part).write_bytes(part.encode())
    put_in_cache(cache, HUB_ID, checkpoint)
    lines = "".join(f"{part}:{sha256(part.encode())}\n" for part in parts)
    assert identity()["sha256"] == sha256(lines.encode())
    (hub_cache.home(HUB_ID) / "snapshots" / COMMIT / parts[1]).unlink()
    assert hub_cache.cached(HUB_ID) is None


def test_the_catalogue_holds_together() -> None:
    tasks = {known.task for known in registry.MODELS.values()}
    assert set(registry.ADAPTERS) == set(registry.BUNDLED) == tasks
    for name, known in registry.MODELS.items():
        assert hub_cache.HUB_ID.fullmatch(known.hub_id), name
        assert "/" not in name
        assert known.parameters_millions is None or 1 < known.parameters_millions < 10_000, name
        assert registry.hub_id_of(name) == known.hub_id
        assert known.model_type in registry.ADAPTERS[known.task], name
    known = registry.MODELS
    assert known["altclip"].licence == "CreativeML OpenRAIL-M"
    measured = {"altclip": 860, "sam-hq-vit-huge": 600, "metaclip2-b32": 600, "edgetam": 13.9}
    assert {name: known[name].parameters_millions for name in measured} == measured
    assert {registry.MODELS[name].gated for name in ("sam3", "dinov3-small")} == {True}
