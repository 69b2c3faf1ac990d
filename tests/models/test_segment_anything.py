from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.segment_anything import SegmentAnything
from autolabel.models.segment_anything_shapes import State, architecture, build
from autolabel.ops.masks import decode
from tests.conftest import make_photos
from tests.models.checkpoints_segmenters import random_sam, small_sam

segment_anything = pytest.importorskip("segment_anything")

BOXES = np.array([[4, 4, 30, 40], [50, 10.5, 90, 60], [0, 0, 96, 64]], np.float32)


def load(path: Path) -> SegmentAnything:
    return registry.load(registry.locate("segmenter", str(path)), "cpu")


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    return np.array(Image.open(make_photos(tmp_path_factory.mktemp("photos"), 1)[0]))


def check_equal_to_predictor(model: torch.nn.Module, path: Path, photo: np.ndarray) -> None:
    predictor = segment_anything.SamPredictor(model)
    predictor.set_image(photo)
    adapter = load(path)
    ours = {
        multimask: adapter.segment(photo, BOXES, multimask=multimask, box_agreement=0)
        for multimask in (True, False)
    }
    for i, box in enumerate(BOXES):
        for multimask, found in ours.items():
            masks, judged, _ = predictor.predict(box=box, multimask_output=multimask)
            best = judged.argmax()
            (mask,) = decode([found.masks[i]], 64, 96)
            assert np.array_equal(mask, masks[best])
            assert found.iou[i] == pytest.approx(judged[best], abs=1e-5)
    assert 0.01 < decode(ours[True].masks, 64, 96).mean() < 0.99, "the case shows nothing"


@pytest.mark.slow
def test_masks_of_vit_b_equal_sam_predictors_pixel_for_pixel(
    tmp_path: Path, photo: np.ndarray
) -> None:
    model = random_sam(segment_anything.sam_model_registry["vit_b"])
    path = tmp_path / "sam_vit_b_random.pth"
    torch.save(model.state_dict(), path)
    check_equal_to_predictor(model, path, photo)


def test_masks_of_a_small_sam_equal_sam_predictors_pixel_for_pixel(
    tmp_path: Path, photo: np.ndarray
) -> None:
    model = random_sam(small_sam)
    path = tmp_path / "small.pth"
    torch.save(model.state_dict(), path)
    check_equal_to_predictor(model, path, photo)


def test_no_boxes(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "small.pth"
    torch.save(small_sam().state_dict(), path)
    adapter = load(path)
    monkeypatch.setattr(adapter.predictor, "set_image", None)
    found = adapter.segment(photo, np.zeros((0, 4), np.float32), multimask=True, box_agreement=0.5)
    assert found.masks == ()


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"model": {f"module.{k}": v for k, v in state.items()}, "epoch": 3},
        lambda state: {"state_dict": {f"sam.{k}": v for k, v in state.items()}},
        lambda state: {"model_state": state, "optimizer": {"state": {}}},
    ],
)
def test_fine_tuned_files_in_the_wrapping_of_their_training(
    wrapped: Callable[[State], object], tmp_path: Path, photo: np.ndarray
) -> None:
    state = random_sam(small_sam).state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save(wrapped(state), tmp_path / "wrapped.pth")
    plain, fine_tuned = (
        load(tmp_path / name).segment(photo, BOXES, multimask=True, box_agreement=0.5)
        for name in ("plain.pth", "wrapped.pth")
    )
    assert plain.masks == fine_tuned.masks


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_the_shapes_tell_the_published_architectures(name: str) -> None:
    with torch.device("meta"):
        published = segment_anything.sam_model_registry[name]()
        ours = build(architecture(published.state_dict()))
    assert str(ours) == str(published)
    encoders = ours.image_encoder, published.image_encoder
    for mine, theirs in zip(*(e.blocks for e in encoders), strict=True):
        assert mine.window_size == theirs.window_size
        assert mine.attn.num_heads == theirs.attn.num_heads
    assert ours.image_encoder.img_size == published.image_encoder.img_size
    assert ours.mask_decoder.num_mask_tokens == published.mask_decoder.num_mask_tokens


def test_other_files_are_refused(tmp_path: Path) -> None:
    text = tmp_path / "text.pth"
    text.write_text("no weights")
    other = tmp_path / "other.pth"
    torch.save({"layer.weight": torch.zeros(3, 3)}, other)
    nested = tmp_path / "nested.pth"
    torch.save({"model": {"layer.weight": torch.zeros(3)}}, nested)
    for path in (text, other, nested):
        with pytest.raises(AutolabelError, match="not an original SAM file"):
            load(path)


def test_the_identity_is_the_files_hash(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    one, two = (registry.locate("segmenter", str(p)) for p in (first, second))
    assert one.name == "a.pth"
    assert one.revision.startswith("sha256:")
    assert one.revision != two.revision
