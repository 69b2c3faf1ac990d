from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.omdet_turbo import TEXT_LENGTH, OmDetTurbo
from autolabel.ontology import Ontology
from tests.models.checkpoints import save_omdet_turbo
from tests.models.test_detectors_contract import blobs


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_omdet_turbo(tmp_path_factory.mktemp("models") / "omdet")


@pytest.fixture(scope="module")
def adapter(checkpoint: Path) -> OmDetTurbo:
    return registry.load(registry.locate("detector", str(checkpoint)), "cpu")


@pytest.mark.parametrize("texts", [["cat"], ["red cell", "cat"]])
def test_it_equals_the_library_used_as_its_documentation_shows(
    checkpoint: Path, adapter: OmDetTurbo, texts: list[str]
) -> None:
    photos = [blobs(90, 40), blobs(33, 70, 1)]
    processor = AutoProcessor.from_pretrained(checkpoint)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(checkpoint).eval()
    task = f"Detect {', '.join(texts)}."
    inputs = processor(images=photos, text=[texts] * 2, task=[task] * 2, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    best = outputs.decoder_class_logits.sigmoid().amax(dim=-1)
    assert best.std() > 0.02, "the case shows nothing"
    threshold = float(best.median()) + 1e-5
    reference = processor.post_process_grounded_object_detection(
        outputs,
        text_labels=[texts] * 2,
        threshold=threshold,
        nms_threshold=1.0,  # ours leaves overlaps to the stage
        target_sizes=[photo.shape[:2] for photo in photos],
        max_num_det=best.shape[1] * len(texts),
    )
    ours = adapter.detect(photos, Ontology.from_prompts(texts), threshold)
    assert 5 < sum(map(len, ours)) < 40
    for mine, theirs in zip(ours, reference, strict=True):
        # The library gives a box once for every prompt; ours are the best of those.
        given = {
            (text, *np.round(box, 2)): score
            for text, box, score in zip(
                theirs["text_labels"],
                theirs["boxes"].tolist(),
                theirs["scores"].tolist(),
                strict=True,
            )
        }
        height, width = photos[0 if mine is ours[0] else 1].shape[:2]
        clipped = np.clip(mine.xyxy, 0, [width, height, width, height])
        keys = [(text, *np.round(box, 2)) for text, box in zip(mine.label, clipped, strict=True)]
        if len(texts) == 1:
            assert len(given) == len(mine)
        expected = [_close(given, key) for key in keys]
        np.testing.assert_allclose(mine.score, expected, atol=1e-5)


def _close(given: dict[tuple[object, ...], float], key: tuple[object, ...]) -> float:
    """The score of the nearest box of that label."""
    boxes = [(k, v) for k, v in given.items() if k[0] == key[0]]
    nearest, score = min(boxes, key=lambda kv: np.abs(np.subtract(kv[0][1:], key[1:])).max())
    np.testing.assert_allclose(nearest[1:], key[1:], atol=0.02)
    return score


def test_many_prompts_take_several_passes_with_the_negatives_in_each(adapter: OmDetTurbo) -> None:
    prompts = [f"{colour} blood cell" for colour in ("red", "white", "black", "brown", "green")]
    ontology = Ontology.from_prompts(prompts, ["smudge"])
    passes = adapter._asked(ontology)
    assert len(passes) > 1
    assert [p for pairs, _ in passes for name, p in pairs if name] == prompts
    for pairs, texts in passes:
        assert pairs[-1] == (None, "smudge")
        task = texts["tasks_input_ids"][0]
        words = adapter.processor.tokenizer.decode(task, skip_special_tokens=True)
        assert words.replace(" ", "").endswith("smudge."), "the task is cut"
        assert len(task) == TEXT_LENGTH
    (found,) = adapter.detect([blobs(60, 40)], ontology, 0.0)
    assert len(found) == 20 * len(passes)
    with pytest.raises(AutolabelError, match="over the model's 77 tokens"):
        adapter.detect([blobs(9, 9)], Ontology.from_prompts(["white blood cell " * 6]), 0.0)


def test_the_published_backbone_asks_for_timm(checkpoint: Path, tmp_path: Path) -> None:
    if find_spec("timm"):
        pytest.skip("timm is installed")
    folder = Path(shutil.copytree(checkpoint, tmp_path / "published"))
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["backbone_config"] = {
        "model_type": "timm_backbone",
        "backbone": "swin_tiny_patch4_window7_224",
        "out_indices": [1, 2, 3],
    }
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(AutolabelError, match="needs a package that is not installed") as e:
        registry.load(registry.locate("detector", str(folder)), "cpu")
    assert e.value.hint == "pip install timm"
