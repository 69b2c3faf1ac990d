from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    AutoModelForZeroShotObjectDetection,
    AutoProcessor,
    GroundingDinoConfig,
    MMGroundingDinoConfig,
    MMGroundingDinoForObjectDetection,
)

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


def save_mm_detector(folder: Path, plain: Path) -> Path:
    """MM-Grounding-DINO of the sizes of a Grounding DINO checkpoint, with its processor."""
    config = GroundingDinoConfig.from_pretrained(plain).to_dict()
    other = {"model_type", "architectures", "two_stage_bbox_embed_share"}
    torch.manual_seed(1)
    model = MMGroundingDinoForObjectDetection(
        MMGroundingDinoConfig(
            **{name: value for name, value in config.items() if name not in other}
        )
    )
    with torch.no_grad():  # what the head adds and divides by would leave all scores alike
        for embed in (*model.class_embed, model.model.encoder_output_class_embed):
            embed.bias.fill_(-0.5)
        model.model.decoder.layer_norm.weight.fill_(4.0)
    AutoProcessor.from_pretrained(plain).save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


@dataclass
class Pair:
    """One checkpoint, loaded by us and as the library's documentation says."""

    ours: GroundingDino
    processor: Any
    model: Any


@pytest.fixture(scope="module", params=["grounding-dino", "mm-grounding-dino"])
def pair(
    request: pytest.FixtureRequest, random_detector: Path, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    """A small random checkpoint of each kind."""
    folder = random_detector
    if request.param == "mm-grounding-dino":
        folder = save_mm_detector(tmp_path_factory.mktemp("models") / "mm", random_detector)
    return Pair(
        load(folder),
        AutoProcessor.from_pretrained(folder),
        AutoModelForZeroShotObjectDetection.from_pretrained(folder).eval(),
    )


@pytest.mark.parametrize("prompt", ["cat", "red cell", "White Blood cell", "cell2 cat dog"])
def test_one_prompt_equals_the_processors_own_post_processing(
    pair: Pair, photos: list[np.ndarray], prompt: str
) -> None:
    # One by one: beside a larger photo the library pads a smaller, and finds something else in it.
    text = [f"{prompt.lower()}."]
    inputs = [pair.processor(images=[p], text=text, return_tensors="pt") for p in photos]
    with torch.no_grad():
        outputs = [pair.model(**one) for one in inputs]
    scores = torch.cat([one.logits for one in outputs]).sigmoid().amax(dim=-1)
    assert scores.std() > 0.02, "the case shows nothing"
    threshold = float(scores.median())
    reference = [
        pair.processor.post_process_grounded_object_detection(
            output,
            one["input_ids"],
            threshold=threshold,
            text_threshold=threshold,
            target_sizes=[photo.shape[:2]],
        )[0]
        for output, one, photo in zip(outputs, inputs, photos, strict=True)
    ]
    ours = pair.ours.detect(photos, Ontology.from_prompts([prompt]), threshold)
    assert 5 < sum(map(len, ours)) < scores.numel()
    for mine, theirs in zip(ours, reference, strict=True):
        chosen = mine.score > threshold + 1e-6  # the median itself may fall on either side
        kept = theirs["scores"] > threshold + 1e-6
        np.testing.assert_allclose(mine.score[chosen], theirs["scores"][kept], atol=1e-6)
        np.testing.assert_allclose(mine.xyxy[chosen], theirs["boxes"][kept], atol=1e-4)
        assert set(mine.label) <= {prompt}


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


DECODED = [
    # prompts, score of each token of the caption, phrase that decoding gives, our class
    (("cat", "dog"), {"cat": 0.6, "dog": 0.5}, "cat dog", "cat"),
    (("cat", "dog"), {".": 0.7, "dog": 0.4}, ". dog.", "dog"),
    (("red cell", "white blood"), {"cell": 0.3, "blood": 0.45}, "cell blood", "white blood"),
    (("red blood", "white cat"), {"white": 0.2, "cat": 0.5}, "cat", "white cat"),
    (("cat", "dog"), {"cat": 0.22, "dog": 0.24}, "", "dog"),
]


@pytest.mark.parametrize(("prompts", "tokens", "phrase", "label"), DECODED)
def test_no_label_is_lost_where_decoded_phrases_lose_it(
    adapter: GroundingDino,
    monkeypatch: pytest.MonkeyPatch,
    prompts: tuple[str, ...],
    tokens: dict[str, float],
    phrase: str,
    label: str,
) -> None:
    """One box with these token scores: the decoded phrase is no class, ours always is one."""
    ontology = Ontology.from_prompts(list(prompts))
    (one,) = adapter.passes(ontology)
    words = adapter.processor.tokenizer.convert_ids_to_tokens(one.input_ids.tolist())
    scores = torch.zeros(1, 1, 256)
    scores[0, 0, : len(words)] = torch.tensor([tokens.get(word, 0.05) for word in words])
    outputs = SimpleNamespace(logits=scores.logit(), pred_boxes=torch.full((1, 1, 4), 0.5))
    (decoded,) = adapter.processor.post_process_grounded_object_detection(
        outputs, one.input_ids[None], threshold=0.2, text_threshold=0.25
    )
    assert decoded["text_labels"] == [phrase]
    assert phrase not in prompts
    monkeypatch.setattr(adapter.model, "forward", lambda **_: outputs)
    (ours,) = adapter.detect([np.zeros((64, 96, 3), np.uint8)], ontology, 0.2)
    assert list(ours.label) == [label]
    assert ours.score[0] == pytest.approx(max(v for k, v in tokens.items() if k != "."), abs=1e-6)


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
