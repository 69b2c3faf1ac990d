from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.registry import hub_cache


def test_a_folder_is_known_by_its_content(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "grounding-dino"}', "utf-8")
    (folder / "model.safetensors").write_bytes(b"weights")
    first = registry.locate("detector", str(folder))
    assert first.revision.startswith("sha256:")
    moved = folder.rename(tmp_path / "elsewhere")
    assert registry.locate("detector", str(moved)).revision == first.revision
    (moved / "README.md").write_text("prose does not count", "utf-8")
    assert registry.locate("detector", str(moved)).revision == first.revision
    (moved / "model.safetensors").write_bytes(b"other weights")
    assert registry.locate("detector", str(moved)).revision != first.revision


def fill_cache(cache: Path, hub_id: str, commit: str) -> None:
    """What the hub client leaves behind after a download."""
    home = cache / f"models--{hub_id.replace('/', '--')}"
    (home / "refs").mkdir(parents=True)
    (home / "refs/main").write_text(commit, "utf-8")
    snapshot = home / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"model_type": "grounding-dino"}', "utf-8")
    (snapshot / "preprocessor_config.json").write_text("{}", "utf-8")
    (snapshot / "model.safetensors").write_bytes(b"weights")


def test_a_fetched_model_is_known_by_its_commit_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub_id = registry.MODELS["grounding-dino-tiny"].hub_id
    fill_cache(tmp_path, hub_id, "a" * 40)
    by_name = registry.locate("detector", "grounding-dino-tiny", fetch=False)
    assert (by_name.name, by_name.revision) == (hub_id, "a" * 40)
    assert registry.locate("detector", by_name.reference(), fetch=False) == by_name
    here = hub_cache.cached(hub_id)
    assert here is not None
    assert (here.path, here.commit, here.size) == (by_name.path, "a" * 40, 41)


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("grounding-dino-tny", "there is no model 'grounding-dino-tny'", "'grounding-dino-tiny'"),
        ("./nowhere/at/all", "there is no model", "a folder that exists"),
        ("grounding-dino-tiny", "cannot be fetched", "autolabel models pull grounding-dino-tiny"),
        ("someone/something", "cannot be fetched", "models pull someone/something"),
        ("a b/c d", "there is no model", "hub id"),
    ],
)
def test_a_model_that_is_not_here(
    name: str, message: str, hint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(AutolabelError) as e:
        registry.locate("detector", name, fetch=False)
    assert message in e.value.message
    assert hint in e.value.hint


@pytest.mark.parametrize(
    ("name", "hint"), [("sam3", "use sam3-tracker"), ("dinov2-small", "autolabel models lists")]
)
def test_a_model_of_another_task(name: str, hint: str) -> None:
    with pytest.raises(AutolabelError, match="not a segmenter") as e:
        registry.locate("segmenter", name, fetch=False)
    assert hint in e.value.hint


def test_a_folder_that_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(AutolabelError, match=r"no config\.json"):
        registry.locate("detector", str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}), "utf-8")
    with pytest.raises(AutolabelError, match="is a bert checkpoint, not a detector"):
        registry.load(registry.locate("detector", str(tmp_path)), "cpu")


def test_every_adapter_can_be_imported() -> None:
    import importlib

    for adapters in registry.ADAPTERS.values():
        for target in adapters.values():
            module, _, name = target.partition(":")
            assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("name", ["model.safetensors", "chat_template.jinja"])
def test_a_folder_with_a_pipe_is_refused_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "config.json").write_text("{}", "utf-8")
    os.mkfifo(tmp_path / name)
    with pytest.raises(AutolabelError, match=f"{name} is not a regular file"):
        registry.locate("detector", str(tmp_path))


def test_a_config_that_is_nested_without_end_is_no_models(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"a":' * 200_000, "utf-8")
    located = registry.locate("detector", str(tmp_path))
    with pytest.raises(AutolabelError, match="nameless checkpoint"):
        registry.load(located, "cpu")
