from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.models.owl import Owl
from autolabel.ontology import Ontology
from tests.models.checkpoints import save_owlv2, save_owlvit
from tests.models.test_detectors_contract import blobs

SAVED: dict[str, Callable[[Path], Path]] = {"owlv2": save_owlv2, "owlvit": save_owlvit}


def load(folder: Path) -> Owl:
    return registry.load(registry.locate("detector", str(folder)), "cpu")


@pytest.fixture(scope="module", params=sorted(SAVED))
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return SAVED[request.param](tmp_path_factory.mktemp("models") / request.param)


@pytest.mark.parametrize("texts", [["cat"], ["red blood cell", "cat", "dog"]])
def test_it_equals_the_library_used_as_its_documentation_shows(
    checkpoint: Path, texts: list[str]
) -> None:
    photos = [blobs(90, 40), blobs(33, 70, 1)]
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(checkpoint).eval()
    asked = [f"a photo of a {text}" for text in texts]
    inputs = processor(text=[asked] * 2, images=photos, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    best = outputs.logits.sigmoid().amax(dim=-1)
    assert best.std() > 0.05, "the case shows nothing"
    threshold = float(best.median()) + 1e-5
    reference = processor.post_process_grounded_object_detection(
        outputs,
        threshold=threshold,
        target_sizes=[photo.shape[:2] for photo in photos],
        text_labels=[texts] * 2,
    )
    ours = load(checkpoint).detect(photos, Ontology.from_prompts(texts), threshold)
    assert 5 < sum(map(len, ours)) < 128
    for mine, theirs in zip(ours, reference, strict=True):
        np.testing.assert_allclose(mine.score, theirs["scores"], atol=1e-5)
        np.testing.assert_allclose(mine.xyxy, theirs["boxes"], atol=1e-4)
        assert list(mine.label) == theirs["text_labels"]


def test_a_class_takes_the_best_of_its_prompts(checkpoint: Path) -> None:
    adapter, photos = load(checkpoint), [blobs(60, 40)]
    (apart,) = adapter.detect(photos, Ontology.from_prompts(["cat", "kitten", "dog"]), 0.0)
    (joined,) = adapter.detect(photos, Ontology.from_prompts(["CAT=cat, kitten", "dog"]), 0.0)
    assert {"cat", "kitten"} <= set(apart.label)
    np.testing.assert_allclose(joined.score, apart.score, atol=1e-6)
    assert list(joined.prompt) == list(apart.prompt)
    assert set(joined.label[np.isin(apart.label, ["cat", "kitten"])]) == {"CAT"}


def test_a_negative_takes_boxes_and_changes_no_score(checkpoint: Path) -> None:
    adapter, photos = load(checkpoint), [blobs(60, 40)]
    negatives = ["dog", "red blood cell", "smudge", "platelet"]
    (without,) = adapter.detect(photos, Ontology.from_prompts(["cat"]), 0.0)
    (against,) = adapter.detect(photos, Ontology.from_prompts(["cat"], negatives), 0.0)
    cats = against.label == "cat"
    assert 0 < cats.sum() < len(cats)
    assert set(against.label) == {"cat", NEGATIVE}
    np.testing.assert_allclose(against.score[cats], without.score[cats], atol=1e-6)
    assert (against.score[~cats] >= without.score[~cats]).all()


def test_objectness_where_the_model_gives_it(checkpoint: Path) -> None:
    adapter = load(checkpoint)
    (found,) = adapter.detect([blobs(60, 40)], Ontology.from_prompts(["cat"]), 0.0)
    names = {name for scores in found.scores for name in scores}
    v2 = adapter.model.config.model_type == "owlv2"
    assert names == ({"detector", "objectness"} if v2 else {"detector"})
    if v2:
        inputs = adapter.processor(images=blobs(60, 40), text=["cat"], return_tensors="pt")
        with torch.no_grad():
            expected = adapter.model(**inputs).objectness_logits[0].sigmoid().numpy()
        given = [scores["objectness"] for scores in found.scores]
        np.testing.assert_allclose(given, expected, atol=1e-5)


def test_a_prompt_that_the_model_would_cut_is_refused(checkpoint: Path) -> None:
    with pytest.raises(AutolabelError, match="tokens, over the model's 64"):
        load(checkpoint).detect([blobs(9, 9)], Ontology.from_prompts(["cell " * 20]), 0.0)
