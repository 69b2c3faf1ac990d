from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Sam3Model, Sam3Processor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.models.sam3_concepts import Sam3Concepts
from autolabel.ontology import Ontology
from autolabel.ops.masks import decode, encode
from tests.models.checkpoints import save_sam3, save_sam3_video
from tests.models.test_detectors_contract import blobs


def load(folder: Path) -> Sam3Concepts:
    return registry.load(registry.locate("detector", str(folder)), "cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_sam3(tmp_path_factory.mktemp("models") / "sam3")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> Sam3Concepts:
    return load(checkpoint)


def test_boxes_scores_and_masks_equal_the_librarys(checkpoint: Path, adapter: Sam3Concepts) -> None:
    photos = [blobs(90, 40), blobs(33, 70, 1)]
    processor = Sam3Processor.from_pretrained(checkpoint)
    model = Sam3Model.from_pretrained(checkpoint).eval()
    inputs = processor(images=photos, text=["red cell"] * 2, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    scores = outputs.pred_logits.sigmoid() * outputs.presence_logits.sigmoid()
    threshold = float(scores.median()) + 1e-6
    reference = processor.post_process_instance_segmentation(
        outputs, threshold=threshold, target_sizes=[photo.shape[:2] for photo in photos]
    )
    ours = adapter.detect(photos, Ontology.from_prompts(["red cell"]), threshold)
    assert 5 < sum(map(len, ours)) < 40
    assert scores.std() > 1e-3, "the case shows nothing"
    for photo, mine, theirs in zip(photos, ours, reference, strict=True):
        np.testing.assert_allclose(mine.score, theirs["scores"], atol=1e-5)
        np.testing.assert_allclose(mine.xyxy, theirs["boxes"], atol=1e-4)
        empty = encode(np.zeros((1, *photo.shape[:2]), bool))[0]
        masks = decode([empty if m is None else m for m in mine.mask], *photo.shape[:2])
        np.testing.assert_array_equal(masks, theirs["masks"].numpy().astype(bool))
        assert masks.any()
    presence = outputs.presence_logits.sigmoid().flatten().tolist()
    assert [s["presence"] for o in ours for s in o.scores[:1]] == pytest.approx(presence, abs=1e-5)


def test_the_video_checkpoint_holds_the_same_model(adapter: Sam3Concepts, tmp_path: Path) -> None:
    whole = load(save_sam3_video(tmp_path / "video"))
    for name, tensor in adapter.model.state_dict().items():
        assert torch.equal(tensor, whole.model.state_dict()[name]), name


def test_each_prompt_is_asked_by_itself(adapter: Sam3Concepts) -> None:
    ontology = Ontology.from_prompts(["RBC=red cell, erythrocyte", "cat"], ["smudge"])
    (together,) = adapter.detect([blobs(60, 40)], ontology, 0.0)
    assert list(together.prompt[::20]) == ["red cell", "erythrocyte", "cat", "smudge"]
    assert list(together.label[::20]) == ["RBC", "RBC", "cat", NEGATIVE]
    (alone,) = adapter.detect([blobs(60, 40)], Ontology.from_prompts(["cat"]), 0.0)
    np.testing.assert_allclose(together[40:60].score, alone.score, atol=1e-6)
    assert not np.allclose(together[:20].score, alone.score, atol=1e-4), "the text does nothing"


def test_a_prompt_that_the_model_would_cut_is_refused(adapter: Sam3Concepts) -> None:
    with pytest.raises(AutolabelError, match="tokens, over the model's 32"):
        adapter.detect([blobs(9, 9)], Ontology.from_prompts(["blood cell " * 5]), 0.0)
