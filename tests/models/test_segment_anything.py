from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.segment_anything import SegmentAnything
from autolabel.ops.masks import decode
from tests.conftest import make_photos

segment_anything = pytest.importorskip("segment_anything")

BOXES = np.array([[4, 4, 30, 40], [50, 10.5, 90, 60], [0, 0, 96, 64]], np.float32)


def load(path: Path) -> SegmentAnything:
    return registry.load(registry.locate("segmenter", str(path)), "cpu")


def random_model(build: object) -> torch.nn.Module:
    """A model with larger weights than its start, so that masks have shapes."""
    torch.manual_seed(0)
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    return model.eval()


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
    model = random_model(segment_anything.sam_model_registry["vit_b"])
    path = tmp_path / "sam_vit_b_random.pth"
    torch.save(model.state_dict(), path)
    check_equal_to_predictor(model, path, photo)


def small_sam() -> torch.nn.Module:
    """The package's own model, with 64 pixels and one layer, as wide as `vit_b`."""
    from segment_anything.modeling import (
        ImageEncoderViT,
        MaskDecoder,
        PromptEncoder,
        Sam,
        TwoWayTransformer,
    )

    return Sam(
        ImageEncoderViT(
            img_size=64, patch_size=8, embed_dim=768, depth=1, num_heads=12, out_chans=32,
            use_rel_pos=True, window_size=4,
        ),
        PromptEncoder(
            embed_dim=32, image_embedding_size=(8, 8), input_image_size=(64, 64), mask_in_chans=16
        ),
        MaskDecoder(
            num_multimask_outputs=3, transformer_dim=32, iou_head_hidden_dim=32,
            transformer=TwoWayTransformer(depth=2, embedding_dim=32, mlp_dim=64, num_heads=2),
        ),
    )  # fmt: skip


def test_masks_of_a_small_sam_equal_sam_predictors_pixel_for_pixel(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", small_sam)
    model = random_model(small_sam)
    path = tmp_path / "small.pth"
    torch.save(model.state_dict(), path)
    check_equal_to_predictor(model, path, photo)


def test_no_boxes(tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(segment_anything.sam_model_registry, "vit_b", small_sam)
    path = tmp_path / "small.pth"
    torch.save(small_sam().state_dict(), path)
    adapter = load(path)
    monkeypatch.setattr(adapter.predictor, "set_image", None)
    found = adapter.segment(photo, np.zeros((0, 4), np.float32), multimask=True, box_agreement=0.5)
    assert found.masks == ()


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
    with pytest.raises(AutolabelError, match="not a detector"):
        registry.load(registry.locate("detector", str(other)), "cpu")


def test_the_identity_is_the_files_hash(tmp_path: Path) -> None:
    first, second = tmp_path / "a.pth", tmp_path / "b.pth"
    first.write_bytes(b"one")
    second.write_bytes(b"two")
    one, two = (registry.locate("segmenter", str(p)) for p in (first, second))
    assert one.name == "a.pth"
    assert one.revision.startswith("sha256:")
    assert one.revision != two.revision
