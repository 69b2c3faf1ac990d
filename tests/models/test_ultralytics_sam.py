"""MobileSAM and FastSAM against ultralytics' own predictors, and files that are neither."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from autolabel import registry
from autolabel.errors import AutolabelError
from autolabel.models.base import Segmenter
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.ops.masks import areas, decode
from tests.conftest import make_photos
from tests.models.checkpoints_segmenters import (
    save_fast_sam,
    save_mobile_sam,
    save_ultralytics_sam2,
    save_ultralytics_sam3,
    shrink_ultralytics,
)

pytest.importorskip("ultralytics")
load_ultralytics()

BOXES = np.array([[4, 4, 30, 40], [50, 10, 90, 60], [0, 0, 128, 128]], np.float32)


def load(path: Path) -> Segmenter:
    return registry.load(registry.locate("segmenter", str(path)), "cpu")


def photo_of(folder: Path, width: int, height: int) -> np.ndarray:
    (path,) = make_photos(folder / "photos", 1, (width, height))
    return np.array(Image.open(path))


@pytest.fixture
def photo(tmp_path: Path) -> np.ndarray:
    return photo_of(tmp_path, 128, 128)


def test_mobile_sam_equals_ultralytics_own(tmp_path: Path) -> None:
    from ultralytics.models.sam import Predictor
    from ultralytics.models.sam.build import build_mobile_sam

    # As large as the network's input: ultralytics enlarges by another library, and pads with grey
    # where the paper's code pads with the mean colour, as we do.
    photo, boxes = photo_of(tmp_path, 1024, 1024), BOXES * 8
    path = save_mobile_sam(tmp_path)
    model = build_mobile_sam().eval()
    model.load_state_dict(torch.load(path, weights_only=True))
    predictor = Predictor(overrides={"imgsz": 1024, "device": "cpu", "save": False})
    predictor.setup_model(model, verbose=False)
    predictor.set_prompts({"bboxes": boxes.tolist()})
    bgr = np.ascontiguousarray(photo[..., ::-1])
    predictor.set_image(bgr)
    predictor.batch = (["photo"], [bgr], None)
    with torch.inference_mode():
        pixels = predictor.preprocess([bgr])
        masks, judged = predictor.prompt_inference(pixels, bboxes=boxes, multimask_output=False)
    found = load(path).segment(photo, boxes, multimask=False, box_agreement=0)
    np.testing.assert_allclose(found.iou, judged.flatten().numpy(), atol=1e-4)
    size = photo.shape[:2]
    full = torch.nn.functional.interpolate(masks[None].float(), (1024, 1024), mode="bilinear")
    theirs = full[0, :, : size[0]].numpy()
    ours = decode(found.masks, *size)
    assert 0.01 < ours.mean() < 0.99, "the case shows nothing"
    assert np.mean(ours != (theirs > 0)) < 1e-3


@pytest.mark.parametrize("which", ["sam2", "sam3"])
@pytest.mark.parametrize("multimask", [True, False])
def test_sam_2_and_3_equal_ultralytics_own(
    which: str, multimask: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ultralytics.models.sam import build, build_sam3, predict

    shrink_ultralytics(monkeypatch)
    save = save_ultralytics_sam2 if which == "sam2" else save_ultralytics_sam3
    path = save(tmp_path)
    # As large as the network's input: ultralytics pads where Meta's code, as ours, stretches.
    side = {"sam2": 128, "sam3": 112}[which]
    photo = photo_of(tmp_path, side, side)
    if which == "sam2":
        predictor, model = predict.SAM2Predictor, build.build_sam2_t()
        model.load_state_dict(torch.load(path, weights_only=True)["model"])
    else:
        predictor, model = predict.SAM3Predictor, build_sam3.build_interactive_sam3(str(path))
    predictor = predictor(overrides={"imgsz": side, "device": "cpu", "save": False})
    predictor.setup_model(model.eval(), verbose=False)
    bgr = np.ascontiguousarray(photo[..., ::-1])
    predictor.set_image(bgr)
    predictor.batch = (["photo"], [bgr], None)
    boxes = np.minimum(BOXES, side)
    with torch.inference_mode():
        pixels = predictor.preprocess([bgr])
        masks, judged = predictor.prompt_inference(pixels, bboxes=boxes, multimask_output=multimask)
    judged = judged.reshape(len(boxes), -1)
    best = judged.argmax(dim=1)
    masks = masks.reshape(len(boxes), judged.shape[1], *masks.shape[-2:])
    found = load(path).segment(photo, boxes, multimask=multimask, box_agreement=0)
    np.testing.assert_allclose(found.iou, judged.max(dim=1).values.numpy(), atol=1e-4)
    chosen = masks[torch.arange(len(boxes)), best][None].float()
    theirs = torch.nn.functional.interpolate(chosen, (side, side), mode="bilinear")[0].numpy() > 0
    ours = decode(found.masks, side, side)
    assert 0.01 < ours.mean() < 0.99, "the case shows nothing"
    assert np.mean(ours != theirs) < 1e-3


def test_sam_2_of_an_unknown_size_or_with_weights_left_out_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        shrink_ultralytics(patch)
        path = save_ultralytics_sam2(tmp_path)
    with pytest.raises(AutolabelError, match="5 blocks of 16 is of no known size"):
        load(path)
    shrink_ultralytics(monkeypatch)
    state = torch.load(path, weights_only=True)["model"]
    state["no_mem_embed"][:] = torch.nan
    torch.save({"model": state}, path)
    with pytest.raises(AutolabelError, match="not finite"):
        load(path)
    state.pop("sam_mask_decoder.iou_token.weight")
    torch.save({"model": state}, path)
    with pytest.raises(AutolabelError, match=r"lacks sam_mask_decoder\.iou_token\.weight"):
        load(path)


def test_every_size_of_sam_2_is_known_by_its_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    from ultralytics.models.sam import build

    from autolabel.models.ultralytics_sam2 import BUILDERS

    def shapes(**sizes: Any) -> tuple[int, int]:
        return sizes["encoder_embed_dim"], sum(sizes["encoder_stages"])

    monkeypatch.setattr(build, "_build_sam2", shapes)
    assert {getattr(build, builder)() for builder in BUILDERS.values()} == set(BUILDERS)
    assert all(getattr(build, builder)() == size for size, builder in BUILDERS.items())


def test_fast_sam_takes_what_ultralytics_own_takes(tmp_path: Path, photo: np.ndarray) -> None:
    from ultralytics.models.fastsam import FastSAMPredictor

    from autolabel.models.checked_pickle import load_network

    path = save_fast_sam(tmp_path)
    options = {"imgsz": 128, "device": "cpu", "save": False, "conf": 0.25, "iou": 0.9}
    predictor = FastSAMPredictor(overrides={**options, "retina_masks": True, "verbose": False})
    predictor.setup_model(load_network(path)["model"].float().eval(), verbose=False)
    bgr = np.ascontiguousarray(photo[..., ::-1])
    (everything,) = predictor(bgr)
    theirs = everything.masks.data.numpy().astype(bool)
    assert len(theirs) > 10
    found = load(path).segment(photo, BOXES, multimask=True, box_agreement=0.5)
    for mask, box in zip(decode(found.masks, 128, 128), BOXES.astype(int), strict=True):
        agreement = [iou(mask, other) for other in theirs]
        assert max(agreement) > 0.95
        prompt = np.zeros((128, 128), bool)
        prompt[box[1] : box[3], box[0] : box[2]] = True
        assert iou(mask, prompt) > max(iou(other, prompt) for other in theirs) - 0.05


def iou(first: np.ndarray, second: np.ndarray) -> float:
    return float((first & second).sum() / max(1, (first | second).sum()))


def test_a_box_where_fast_sam_finds_nothing_gets_an_empty_mask(
    tmp_path: Path, photo: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = load(save_fast_sam(tmp_path))
    monkeypatch.setattr("autolabel.models.fast_sam.MIN_SCORE", 1.0)
    found = adapter.segment(photo, BOXES, multimask=True, box_agreement=0.5)
    assert not areas(found.masks, 128, 128).any()
    assert found.iou.tolist() == [0, 0, 0]


class Trap:
    """Touches a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.trace}",)


def test_other_files_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    plain, trap = tmp_path / "plain.pt", tmp_path / "trap.pt"
    torch.save({"weight": torch.zeros(2)}, plain)
    torch.save({"model": Trap(tmp_path / "trace")}, trap)
    with pytest.raises(AutolabelError, match="neither MobileSAM, FastSAM, SAM 2 nor"):
        load(plain)
    with pytest.raises(AutolabelError, match="it was not run"):
        load(trap)
    assert not (tmp_path / "trace").exists()


def test_without_ultralytics_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save_mobile_sam(tmp_path)
    monkeypatch.setitem(sys.modules, "ultralytics", None)
    with pytest.raises(AutolabelError, match="ultralytics, which is not installed") as e:
        load(path)
    assert "pip install 'autolabel[train]'" in e.value.hint


def test_mobile_sam_with_weights_left_out_is_refused(tmp_path: Path) -> None:
    path = save_mobile_sam(tmp_path)
    state = torch.load(path, weights_only=True)
    state.pop("mask_decoder.iou_token.weight")
    torch.save(state, path)
    with pytest.raises(AutolabelError, match="is not a MobileSAM"):
        load(path)
