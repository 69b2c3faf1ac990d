from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModel, AutoProcessor, AutoTokenizer, SiglipImageProcessor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.image_text import ImageText
from tests.conftest import SAMPLE
from tests.embedders import make_crops, save_random_clip, save_random_siglip

TEXTS = ["a photo of a cat.", "a dog", "nothing"]


def load(folder: Path) -> ImageText:
    return registry.load(registry.locate("image-text", str(folder)), "cpu")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_random_clip(tmp_path_factory.mktemp("models") / "clip")


@pytest.mark.parametrize("which", ["random", "sample"])
def test_probabilities_equal_clip_used_as_its_documentation_shows(clip: Path, which: str) -> None:
    folder = clip if which == "random" else SAMPLE / "models/clip"
    adapter, crops = load(folder), make_crops(5)
    model = AutoModel.from_pretrained(folder).eval()
    processor = AutoProcessor.from_pretrained(folder)
    inputs = processor(text=TEXTS, images=crops, return_tensors="pt", padding=True)
    with torch.no_grad():
        outputs = model(**inputs)
    images, texts = adapter.embed_images(crops), adapter.embed_texts(TEXTS)
    np.testing.assert_allclose(images, outputs.image_embeds.numpy(), atol=1e-5)
    np.testing.assert_allclose(texts, outputs.text_embeds.numpy(), atol=1e-5)
    expected = outputs.logits_per_image.softmax(dim=1).numpy()
    np.testing.assert_allclose(adapter.scoring.probabilities(images @ texts.T), expected, atol=1e-5)
    assert images.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(images, axis=1), 1, atol=1e-6)


def test_probabilities_equal_siglip_used_as_its_documentation_shows(tmp_path: Path) -> None:
    folder = save_random_siglip(tmp_path / "siglip")
    crops = make_crops(3)
    adapter = load(folder)
    model = AutoModel.from_pretrained(folder).eval()
    tokens = AutoTokenizer.from_pretrained(folder)(
        TEXTS, padding="max_length", max_length=16, return_tensors="pt"
    )
    pixels = SiglipImageProcessor.from_pretrained(folder)(images=crops, return_tensors="pt")
    with torch.no_grad():
        outputs = model(input_ids=tokens["input_ids"], **pixels)
    ours = adapter.scoring.probabilities(adapter.embed_images(crops) @ adapter.embed_texts(TEXTS).T)
    assert adapter.scoring.sigmoid
    np.testing.assert_allclose(ours, outputs.logits_per_image.sigmoid().numpy(), atol=1e-5)


def test_siglip_reads_capitals_as_small_letters(tmp_path: Path) -> None:
    adapter = load(save_random_siglip(tmp_path / "siglip"))
    shouted, plain = adapter.embed_texts(["A PHOTO of the Cat.", "a photo of the cat."])
    np.testing.assert_array_equal(shouted, plain)


def test_more_crops_than_a_pass_holds(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    adapter, crops = load(clip), make_crops(5)
    whole = adapter.embed_images(crops)
    monkeypatch.setattr("autolabel.models.embedding.CROPS_PER_PASS", 2)
    np.testing.assert_allclose(adapter.embed_images(crops), whole, atol=1e-5)


def test_nothing_gives_nothing(clip: Path) -> None:
    adapter = load(clip)
    assert adapter.embed_images([]).shape == (0, adapter.dimensions)
    assert adapter.embed_texts([]).shape == (0, adapter.dimensions)


def test_a_text_that_is_too_long_is_refused(clip: Path) -> None:
    with pytest.raises(AutolabelError, match="over the model's 40"):
        load(clip).embed_texts(["a cat " * 30])


def test_missing_weights_are_refused(tmp_path: Path) -> None:
    folder = save_random_clip(tmp_path / "clip")
    weights = load_file(folder / "model.safetensors")
    weights.pop("visual_projection.weight")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(AutolabelError, match=r"lacks 1 weights, visual_projection\.weight"):
        load(folder)


def as_pickle(folder: Path, content: object) -> None:
    """Weights as older checkpoints have them, in place of safetensors."""
    (folder / "model.safetensors").unlink()
    torch.save(content, folder / "pytorch_model.bin")


def test_weights_of_older_checkpoints_are_read(tmp_path: Path) -> None:
    folder = save_random_clip(tmp_path / "clip")
    crops = make_crops(2)
    expected = load(folder).embed_images(crops)
    as_pickle(folder, load_file(folder / "model.safetensors"))
    np.testing.assert_array_equal(load(folder).embed_images(crops), expected)


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = save_random_clip(tmp_path / "clip")
    as_pickle(folder, {**load_file(folder / "model.safetensors"), "x": Trap(tmp_path / "trace")})
    with pytest.raises(AutolabelError, match="does not load"):
        load(folder)
    assert not (tmp_path / "trace").exists()


def test_a_detector_is_no_embedder(random_detector: Path) -> None:
    with pytest.raises(AutolabelError, match="not a image-text"):
        load(random_detector)


@pytest.mark.parametrize(("task", "name"), [("image-text", "clip"), ("image", "dinov2")])
def test_the_samples_embedders(task: str, name: str) -> None:
    folder = SAMPLE / "models" / name
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 4e6
    assert (folder / "MODEL_CARD.md").is_file()
    embedder = registry.load(registry.locate(task, str(folder)), "cpu")
    odd = [np.zeros(size, np.uint8) for size in ((1, 1, 3), (3, 3, 3), (4, 300, 3))]
    assert embedder.embed_images(odd).shape == (3, embedder.dimensions)
