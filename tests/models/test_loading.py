from __future__ import annotations

import errno
import json
import socket
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
import torch

from autolabel.errors import AutolabelError
from autolabel.models import loading
from autolabel.registry import Located
from tests.embedders import make_crops, save_random_dinov2


class Lacking:
    """A processor class of the library that needs what is not there."""

    error = ImportError()

    @classmethod
    def from_pretrained(cls, *args: object, **options: object) -> None:
        raise cls.error


@pytest.mark.parametrize(
    ("error", "hint"),
    [
        (ImportError("X requires the Foo library but … `pip install -U foo-py`. Note"), "foo-py"),
        (ImportError("this needs Accelerate: `pip install 'accelerate>=0.26.0'`"), "accelerate"),
        (ImportError("Tok requires the sentencepiece library. See its page"), "sentencepiece"),
        (ModuleNotFoundError("No module named 'einops.layers'", name="einops.layers"), "einops"),
    ],
)
def test_a_package_that_is_missing_is_named(error: ImportError, hint: str, tmp_path: Path) -> None:
    assert refused(error, tmp_path).hint == f"pip install {hint}"


def test_where_the_library_names_no_package_its_own_words_are_told(tmp_path: Path) -> None:
    refusal = refused(ImportError("the extension\n was built for another version"), tmp_path)
    assert "None" not in refusal.hint
    assert "the extension was built for another version" in refusal.message


def refused(error: ImportError, folder: Path) -> AutolabelError:
    kind = type("Kind", (Lacking,), {"error": error})
    located = Located("image", "small", folder, "sha256:0")
    with pytest.raises(AutolabelError) as e:
        loading.load_pretrained(located, kind, kind, loading.torch.device("cpu"))
    return e.value


def test_weights_of_another_program_beside_those_that_are_read(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    from autolabel import registry

    folder = save_random_dinov2(tmp_path / "model")
    whole = folder / "model.safetensors"
    index = {"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index), "utf-8")
    photo = make_crops(1)
    expected = registry.load(registry.locate("image", str(folder)), "cpu").embed_images(photo)

    (folder / "pytorch_model.bin.index.json").unlink()
    torch.save(load_file(whole), folder / "pytorch_model.bin")
    whole.rename(folder / "open_clip_model.safetensors")
    found = registry.load(registry.locate("image", str(folder)), "cpu").embed_images(photo)
    assert np.array_equal(found, expected)


class Chatty:
    """A processor class of the library that asks the hub, though its files are here."""

    @classmethod
    def from_pretrained(cls, *args: object, **options: object) -> None:
        huggingface_hub.HfApi().model_info("owner/name")


def test_a_library_that_asks_the_hub_is_told_no(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(*args: object, **options: object) -> None:
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", unreachable)
    located = Located("image", "small", tmp_path, "sha256:0")
    with pytest.raises(AutolabelError, match="model small does not load"):
        loading.load_pretrained(located, Chatty, Chatty, loading.torch.device("cpu"))
    assert huggingface_hub.constants.HF_HUB_OFFLINE is False
