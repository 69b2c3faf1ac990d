from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.models.grounding_dino import GroundingDino
from autolabel.ontology import Ontology
from tests.conftest import make_photos, save_random_detector


def load(folder: Path) -> GroundingDino:
    return registry.load(registry.locate("detector", str(folder)), "cpu")


@pytest.fixture(scope="module")
def adapter(random_detector: Path) -> GroundingDino:
    return load(random_detector)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[np.ndarray]:
    folder = tmp_path_factory.mktemp("photos")
    wide = make_photos(folder / "wide", 2)
    tall = make_photos(folder / "tall", 1, (50, 110))
    return [np.array(Image.open(p)) for p in [*wide, *tall]]


def test_one_prompt_equals_the_processors_own_post_processing(
    random_detector: Path, adapter: GroundingDino, photos: list[np.ndarray]
) -> None:
    processor = AutoProcessor.from_pretrained(random_detector)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(random_detector).eval()
    ours = adapter.detect(photos, Ontology.from_prompts(["red cell"]), 0.1)
    inputs = processor(images=photos, text=["red cell."] * len(photos), return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    reference = processor.post_process_grounded_object_detection(
        outputs,
        inputs["input_ids"],
        threshold=0.1,
        text_threshold=0.1,
        target_sizes=[photo.shape[:2] for photo in photos],
    )
    assert sum(map(len, ours)) > 5
    for mine, theirs in zip(ours, reference, strict=True):
        np.testing.assert_allclose(mine.score, theirs["scores"], atol=1e-5)
        np.testing.assert_allclose(mine.xyxy, theirs["boxes"], atol=1e-3)
        assert set(mine.label) <= {"red cell"}


def test_classes_that_share_words_are_told_apart_by_their_spans(adapter: GroundingDino) -> None:
    ontology = Ontology.from_prompts(
        ["RBC=red blood cell, cat", "WBC=white blood cell"], ["smudge"]
    )
    (one,) = adapter.passes(ontology)
    assert one.pairs == (
        ("RBC", "red blood cell"),
        ("RBC", "cat"),
        ("WBC", "white blood cell"),
        (None, "smudge"),
    )
    assert one.spans.sum(dim=1).tolist() == [3, 1, 3, 1]
    assert one.spans.sum(dim=0).max() == 1  # no token has two owners
    words = adapter.processor.tokenizer.convert_ids_to_tokens(one.input_ids.tolist())
    owned = [
        [w for w, mine in zip(words, span, strict=True) if mine] for span in one.spans.tolist()
    ]
    assert owned == [["red", "blood", "cell"], ["cat"], ["white", "blood", "cell"], ["smudge"]]


def test_no_label_is_lost_where_decoded_phrases_lose_it(
    random_detector: Path, adapter: GroundingDino, photos: list[np.ndarray]
) -> None:
    """Decoding joins whatever tokens pass, so its phrases are often no class at all."""
    processor = AutoProcessor.from_pretrained(random_detector)
    caption = "red blood cell. white blood cell."
    inputs = processor(images=photos, text=[caption] * len(photos), return_tensors="pt")
    with torch.no_grad():
        outputs = adapter.model(**inputs)
    decoded = processor.post_process_grounded_object_detection(
        outputs, inputs["input_ids"], threshold=0.1, text_threshold=0.1
    )
    classes = {"red blood cell", "white blood cell"}
    phrases = {phrase for image in decoded for phrase in image["text_labels"]}
    assert phrases - classes, "the case does not show the difference"
    ours = adapter.detect(photos, Ontology.from_prompts(sorted(classes)), 0.1)
    assert all(label in classes for image in ours for label in image.label)
    assert sum(map(len, ours)) >= 10


def test_a_negative_wins_its_queries(adapter: GroundingDino, photos: list[np.ndarray]) -> None:
    without = adapter.detect(photos, Ontology.from_prompts(["cat"]), 0.0)
    against = adapter.detect(photos, Ontology.from_prompts(["cat"], ["dog"]), 0.0)
    labels = [label for image in against for label in image.label]
    assert NEGATIVE in labels
    assert labels.count("cat") < sum(map(len, without))


def test_many_prompts_take_several_passes_with_the_negatives_in_each(tmp_path: Path) -> None:
    adapter = load(save_random_detector(tmp_path / "short", max_text_len=16))
    prompts = ["red cell", "white cell", "platelet", "black cat", "red dog"]
    passes = adapter.passes(Ontology.from_prompts(prompts, ["smudge"]))
    assert len(passes) > 1
    assert [pair for one in passes for pair in one.pairs if pair[0]] == [(p, p) for p in prompts]
    for one in passes:
        assert len(one.input_ids) <= 16
        assert one.pairs[-1] == (None, "smudge")
    photo = np.zeros((64, 96, 3), np.uint8)
    (found,) = adapter.detect([photo], Ontology.from_prompts(prompts, ["smudge"]), 0.0)
    assert len(found) == 20 * len(passes)
    with pytest.raises(AutolabelError, match="over the model's 16 tokens"):
        adapter.passes(Ontology.from_prompts(["red white blood cell " * 5]))


def test_a_batch_equals_one_by_one(adapter: GroundingDino, photos: list[np.ndarray]) -> None:
    same_size = photos[:2]
    ontology = Ontology.from_prompts(["cat", "dog"])
    together = adapter.detect(same_size, ontology, 0.0)
    for photo, expected in zip(same_size, together, strict=True):
        (alone,) = adapter.detect([photo], ontology, 0.0)
        np.testing.assert_allclose(np.sort(alone.score), np.sort(expected.score), atol=1e-4)


@pytest.mark.parametrize("size", [(1, 1), (300, 15), (15, 300)])
def test_odd_sizes(adapter: GroundingDino, size: tuple[int, int]) -> None:
    (found,) = adapter.detect([np.zeros((*size, 3), np.uint8)], Ontology.from_prompts(["cat"]), 0.0)
    assert len(found) == 20


def test_a_prompt_without_words_is_refused(adapter: GroundingDino) -> None:
    with pytest.raises(AutolabelError, match="finds 1 phrases in 2 prompts"):
        adapter.passes(Ontology.from_prompts(["a=...", "cat"]))


def test_weights_that_do_not_load(tmp_path: Path, random_detector: Path) -> None:
    for path in random_detector.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(AutolabelError, match="does not load"):
        load(tmp_path)
