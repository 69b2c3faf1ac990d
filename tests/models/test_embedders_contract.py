"""What every registered embedder must do, whatever its family; a new one is tested by existing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, AutoProcessor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.testing.batches import BATCH_SIZES, orders, photos
from autolabel.testing.embedder import (
    EMBEDDER_CHECKS,
    TEXT_CHECKS,
    TEXTS,
    as_promised,
)
from tests.embedders import make_crops
from tests.models.checkpoints_embedders import BUILDERS
from tests.models.hub import COMMIT, put_in_cache

TASKS = ("image-text", "image")
EVERY_KIND = [(task, kind) for task in TASKS for kind in sorted(registry.ADAPTERS[task])]
FULL_LENGTH = {"siglip", "siglip2"}
"""Kinds whose pages pad every text to the model's length."""

PATCHES = {"siglip2": {"patch_size": 8, "max_num_patches": 16}}
"""What the library's processor would set to the published sizes, whatever the checkpoint says."""


@pytest.fixture(scope="module", params=EVERY_KIND, ids=lambda p: p[1])
def case(request: pytest.FixtureRequest) -> tuple[str, str]:
    return request.param


@pytest.fixture(scope="module")
def checkpoint(case: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    task, kind = case
    assert kind in BUILDERS[task], f"tests/models/checkpoints_embedders.py builds no {kind}"
    return BUILDERS[task][kind](tmp_path_factory.mktemp("models") / kind)


@pytest.fixture(scope="module")
def adapter(case: tuple[str, str], checkpoint: Path) -> Any:
    return registry.load(registry.locate(case[0], str(checkpoint)), "cpu")


@pytest.fixture
def reader(case: tuple[str, str], adapter: Any) -> Any:
    """The adapter, where it reads texts."""
    if case[0] != "image-text":
        pytest.skip("it reads no texts")
    return adapter


@pytest.mark.parametrize("check", EMBEDDER_CHECKS, ids=lambda check: check.__name__)
def test_the_contract(check: Callable[[Any], None], adapter: Any) -> None:
    check(adapter)


@pytest.mark.parametrize("check", TEXT_CHECKS, ids=lambda check: check.__name__)
def test_the_contract_of_those_that_read_texts(check: Callable[[Any], None], reader: Any) -> None:
    check(reader)


def test_however_many_crops_go_in_one_pass_their_vectors_are_the_same(
    adapter: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = photos()
    alone = np.concatenate([adapter.embed_images([crop]) for crop in crops])
    for size in BATCH_SIZES:
        monkeypatch.setattr("autolabel.models.embedding.CROPS_PER_PASS", size)
        for order in orders(len(crops)):
            found = adapter.embed_images([crops[i] for i in order])
            np.testing.assert_allclose(found, alone[order], atol=1e-5)


def test_forty_texts(reader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autolabel.models.image_text.TEXTS_PER_PASS", 16)
    as_promised(reader.embed_texts(["a photo of a cat"] * 40), 40, reader)


def test_a_text_of_the_longest_length_is_read_and_a_longer_one_refused(reader: Any) -> None:
    def tokens(text: str) -> int:
        return len(reader.processor.tokenizer(text)["input_ids"])

    longest = max((n for n in range(1, 60) if tokens("a " * n) <= reader.longest), default=0)
    assert longest > 3
    as_promised(reader.embed_texts(["a " * longest]), 1, reader)
    with pytest.raises(AutolabelError, match=f"over the model's {reader.longest}"):
        reader.embed_texts(["a " * (longest + 1)])


def test_probabilities_equal_the_librarys_own(
    case: tuple[str, str], checkpoint: Path, reader: Any
) -> None:
    crops = make_crops(4)
    padding = "max_length" if case[1] in FULL_LENGTH else True
    inputs = AutoProcessor.from_pretrained(checkpoint)(
        text=TEXTS, images=crops, return_tensors="pt", padding=padding, max_length=reader.longest,
        truncation=True, **PATCHES.get(case[1], {}),
    )  # fmt: skip
    with torch.no_grad():
        outputs = AutoModel.from_pretrained(checkpoint).eval()(**inputs)
    images, texts = reader.embed_images(crops), reader.embed_texts(TEXTS)
    for ours, theirs in ((images, outputs.image_embeds), (texts, outputs.text_embeds)):
        unit = torch.nn.functional.normalize(theirs, dim=-1).numpy()
        np.testing.assert_allclose(ours, unit, atol=1e-5)
    logits = outputs.logits_per_image
    sigmoid = case[1] in FULL_LENGTH
    expected = logits.sigmoid() if sigmoid else logits.softmax(dim=1)
    assert reader.scoring.sigmoid == sigmoid
    np.testing.assert_allclose(
        reader.scoring.probabilities(images @ texts.T), expected.numpy(), atol=1e-5
    )


def test_vectors_equal_the_librarys_own(
    case: tuple[str, str], checkpoint: Path, adapter: Any
) -> None:
    task, kind = case
    if task != "image":
        pytest.skip("compared together with its texts")
    crops = make_crops(4)
    inputs = AutoImageProcessor.from_pretrained(checkpoint)(images=crops, return_tensors="pt")
    with torch.no_grad():
        outputs = AutoModel.from_pretrained(checkpoint).eval()(**inputs)
    features = {
        "ijepa": lambda: outputs.last_hidden_state.mean(dim=1),  # it has no class token
        "vit": lambda: outputs.last_hidden_state[:, 0],  # its pooler was trained on labels
    }.get(kind, lambda: outputs.pooler_output)()
    expected = torch.nn.functional.normalize(features, dim=-1).numpy()
    np.testing.assert_allclose(adapter.embed_images(crops), expected, atol=1e-5)


EMBEDDERS = sorted((r.task, n) for n, r in registry.registered().items() if r.task in TASKS)


@pytest.mark.parametrize(("task", "name"), EMBEDDERS, ids=lambda value: value)
def test_it_is_found_by_name_as_by_folder(
    task: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = BUILDERS[task][registry.registered()[name].model_type](tmp_path / "checkpoint")
    put_in_cache(tmp_path, registry.registered()[name].hub_id, folder)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    located = registry.locate(task, name, fetch=False)
    assert located.revision == COMMIT
    one, other = (
        registry.load(found, "cpu") for found in (located, registry.locate(task, str(folder)))
    )
    assert np.array_equal(one.embed_images(make_crops(2)), other.embed_images(make_crops(2)))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_the_gpu_finds_what_the_cpu_finds(
    case: tuple[str, str], checkpoint: Path, adapter: Any
) -> None:
    there = registry.load(registry.locate(case[0], str(checkpoint)), "cuda")
    crops = make_crops(4)
    np.testing.assert_allclose(there.embed_images(crops), adapter.embed_images(crops), atol=5e-3)
