from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, SamModel
from transformers.models.timm_wrapper import modeling_timm_wrapper
from transformers.utils.import_utils import TIMM_IMPORT_ERROR

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models import sam_masks
from autolabel.models.sam import Sam
from autolabel.ops.masks import decode, stability
from tests.conftest import make_photos
from tests.models.checkpoints_segmenters import save_edgetam

BOXES = np.array([[4, 4, 30, 40], [50, 10.5, 90, 60], [0, 0, 96, 64], [10, 50, 18, 60]], np.float32)


def load(folder: Path) -> Sam:
    return registry.load(registry.locate("segmenter", str(folder)), "cpu")


@pytest.fixture(scope="module")
def adapter(random_segmenter: Path) -> Sam:
    return load(random_segmenter)


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return np.array(Image.open(make_photos(tmp_path_factory.mktemp("photos"), 1)[0]))


def documented(folder: Path, photo: np.ndarray, multimask: bool) -> tuple[np.ndarray, np.ndarray]:
    """Masks (n, k, h, w) and predicted IoU (n, k) as the library's documentation shows."""
    processor = AutoProcessor.from_pretrained(folder)
    model = SamModel.from_pretrained(folder).eval()
    inputs = processor(
        images=Image.fromarray(photo), input_boxes=[BOXES.tolist()], return_tensors="pt"
    )
    inputs["input_boxes"] = inputs["input_boxes"].float()
    with torch.no_grad():
        outputs = model(**inputs, multimask_output=multimask)
    (masks,) = processor.post_process_masks(
        outputs.pred_masks, inputs["original_sizes"], inputs["reshaped_input_sizes"]
    )
    return masks.numpy(), outputs.iou_scores[0].numpy()


@pytest.mark.parametrize("multimask", [True, False])
def test_masks_equal_the_documented_use(
    random_segmenter: Path, adapter: Sam, photo: np.ndarray, multimask: bool
) -> None:
    masks, judged = documented(random_segmenter, photo, multimask)
    best = judged.argmax(axis=1)
    rows = np.arange(len(BOXES))
    ours = adapter.segment(photo, BOXES, multimask=multimask, box_agreement=0)
    found = decode(ours.masks, 64, 96)
    assert np.array_equal(found, masks[rows, best])
    assert 0.02 < found.mean() < 0.98, "the case shows nothing"
    np.testing.assert_allclose(ours.iou, judged[rows, best], atol=1e-6)
    assert ours.stability.max() > 0


def test_boxes_in_passes_equal_boxes_at_once(
    adapter: Sam, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    corners = np.sort(rng.uniform(0, 60, (70, 2, 2)), axis=1).reshape(70, 4).astype(np.float32)
    whole = adapter.segment(photo, corners, multimask=True, box_agreement=0.5)
    monkeypatch.setattr("autolabel.models.sam.BOXES_PER_PASS", 7)
    monkeypatch.setattr(sam_masks, "PIXELS_PER_PASS", 10_000)
    parts = adapter.segment(photo, corners, multimask=True, box_agreement=0.5)
    assert len(whole.masks) == 70
    same = [a == b for a, b in zip(whole.masks, parts.masks, strict=True)]
    assert np.mean(same) > 0.95  # sums in another order may move a pixel at the very edge
    np.testing.assert_allclose(whole.iou, parts.iou, atol=1e-4)


def test_no_boxes_run_no_encoder(
    adapter: Sam, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter.model, "get_image_embeddings", None)
    found = adapter.segment(photo, np.zeros((0, 4), np.float32), multimask=True, box_agreement=0.5)
    assert found.masks == ()


@pytest.mark.parametrize("size", [(1, 1), (300, 7), (7, 300), (2, 100)])
def test_odd_sizes(adapter: Sam, size: tuple[int, int]) -> None:
    box = np.array([[0, 0, size[1], size[0]]], np.float32)
    photo = np.full((*size, 3), 99, np.uint8)
    (mask,) = adapter.segment(photo, box, multimask=True, box_agreement=0.5).masks
    assert decode([mask], *size).shape == (1, *size)


def candidates(boxes: list[list[int]]) -> torch.Tensor:
    """One prompt's candidates: logits that are positive inside each box."""
    logits = torch.full((1, len(boxes), 32, 32), -5.0)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        logits[0, i, y1:y2, x1:x2] = 5.0
    return logits


def test_the_best_by_predicted_iou_among_those_that_agree_with_the_box() -> None:
    logits = candidates([[0, 0, 32, 32], [4, 4, 12, 12], [5, 4, 12, 12]])
    prompt = torch.tensor([[4.0, 4.0, 12.0, 12.0]])
    judged = torch.tensor([[0.9, 0.5, 0.6]])
    assert sam_masks.choose(logits, judged, prompt, 0.5).tolist() == [2]
    assert sam_masks.choose(logits, judged, prompt, 0.0).tolist() == [0]
    # none agrees: the one that does so best
    far = torch.tensor([[20.0, 20.0, 30.0, 30.0]])
    assert sam_masks.choose(logits, judged, far, 0.5).tolist() == [0]


def test_a_small_object_is_not_passed_over_for_the_logits_coarse_grid() -> None:
    logits = candidates([[4, 4, 6, 6], [0, 0, 20, 20]])
    prompt = torch.tensor([[4.6, 4.6, 5.4, 5.4]])  # inside one pixel on either side
    assert sam_masks.choose(logits, torch.tensor([[0.5, 0.9]]), prompt, 0.5).tolist() == [0]


def test_boxes_of_masks() -> None:
    logits = candidates([[3, 4, 10, 5], [0, 0, 32, 32], [7, 7, 7, 7]])
    expected = [[3, 4, 10, 5], [0, 0, 32, 32], [0, 0, 0, 0]]
    assert sam_masks.mask_boxes(logits > 0)[0].tolist() == expected


def test_stability_equals_the_iou_at_two_thresholds() -> None:
    logits = np.random.default_rng(0).normal(0, 3, (5, 40, 50)).astype(np.float32)
    high, low = logits > 1, logits > -1
    expected = (high & low).sum(axis=(1, 2)) / (high | low).sum(axis=(1, 2))
    np.testing.assert_allclose(stability(logits), expected, rtol=1e-6)
    assert stability(np.full((1, 3, 3), -9, np.float32)).tolist() == [0]


def test_weights_that_do_not_load(tmp_path: Path, random_segmenter: Path) -> None:
    for path in random_segmenter.iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(AutolabelError, match="does not load"):
        load(tmp_path)


def test_a_package_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("timm")
    folder = save_edgetam(tmp_path / "edgetam")

    def refuse(obj: object, backends: object) -> None:
        raise ImportError(TIMM_IMPORT_ERROR.format("TimmWrapperModel"))

    monkeypatch.setattr(modeling_timm_wrapper, "requires_backends", refuse)
    with pytest.raises(AutolabelError, match="a package that is not installed") as e:
        load(folder)
    assert e.value.hint == "pip install timm"


def test_a_detector_is_no_segmenter(random_detector: Path) -> None:
    with pytest.raises(AutolabelError, match="not a segmenter"):
        load(random_detector)
