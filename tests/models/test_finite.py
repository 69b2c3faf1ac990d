"""Weights and vectors that are not numbers are an error, whoever loads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from autolabel import registry
from autolabel.errors import AutolabelError
from tests.conftest import Run, make_photos, save_random_detector, save_random_segmenter
from tests.embedders import save_random_clip, save_random_dinov2

KINDS = {
    "image-text": save_random_clip,
    "image": save_random_dinov2,
    "detector": save_random_detector,
    "segmenter": save_random_segmenter,
}


def spoil(folder: Path, wrong: float) -> Path:
    """Put one wrong number into the last weight of a checkpoint."""
    file = folder / "model.safetensors"
    weights = load_file(file)
    weights[max(weights)].view(-1)[0] = wrong
    save_file(weights, file, metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize("wrong", [float("nan"), float("-inf")])
@pytest.mark.parametrize("task", KINDS)
def test_one_weight_is_enough(task: str, wrong: float, tmp_path: Path) -> None:
    folder = spoil(KINDS[task](tmp_path / "model"), wrong)
    with pytest.raises(AutolabelError, match="weights that are not finite numbers, in "):
        registry.load(registry.locate(task, str(folder)), "cpu")


@pytest.mark.parametrize("option", ["--clip", "--dinov2"])
def test_the_filter_does_not_keep_everything(
    run: Run, random_detector: Path, option: str, tmp_path: Path
) -> None:
    make_photos(tmp_path / "photos", 2)
    done = run(
        "detect", tmp_path / "photos", "-w", tmp_path / "ws", "--model", random_detector,
        "--prompt", "cat", "--box-threshold", 0.1, "--device", "cpu",
    )  # fmt: skip
    assert done.status == 0, done.err
    save = save_random_clip if option == "--clip" else save_random_dinov2
    rule = ("--clip-margin", 0.1) if option == "--clip" else ("--dinov2-distance", 1)
    model = spoil(save(tmp_path / "model"), float("nan"))
    done = run("filter", tmp_path / "ws", option, model, *rule, "--device", "cpu")
    assert done.status == 1
    assert "not finite" in done.err
    assert not (tmp_path / "ws" / "filter").exists()


@pytest.mark.parametrize("task", ["image-text", "image"])
def test_vectors_that_are_no_numbers(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder: Any = registry.load(
        registry.locate(task, str(KINDS[task](tmp_path / "model"))), "cpu"
    )
    whole = torch.nn.functional.layer_norm

    def overflow(*arguments: Any, **options: Any) -> torch.Tensor:
        return whole(*arguments, **options) * float("nan")

    monkeypatch.setattr(torch.nn.functional, "layer_norm", overflow)
    with pytest.raises(AutolabelError, match="vectors that are not finite numbers"):
        embedder.embed_images([np.zeros((20, 20, 3), np.uint8)])
