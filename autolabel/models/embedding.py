"""What the two kinds of embedders share: vectors of length one, a limited number at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from autolabel.errors import AutolabelError
from autolabel.models.alike import Inputs, in_sizes
from autolabel.ops.arrays import Pixels, Vectors

CROPS_PER_PASS = 64
"""Crops of one forward pass, so that memory does not grow with what an image holds."""


def in_passes(
    crops: Sequence[Pixels],
    image_processor: Any,
    features: Callable[[Inputs], torch.Tensor],
    dimensions: int,
) -> Vectors:
    """Return unit vectors of crops, a limited number at a time.

    Args:
        crops: RGB, uint8 (height, width, 3).
        image_processor: the library's, of the checkpoint.
        features: what the model makes of its inputs, (n, dimensions).
        dimensions: of a vector.

    Returns:
        float32 (n, dimensions).
    """

    def alike(_: list[int], inputs: Inputs) -> list[Vectors]:
        with torch.inference_mode():
            return list(unit(features(inputs)))

    found: list[Vectors] = []
    for start in range(0, len(crops), CROPS_PER_PASS):
        found += in_sizes(image_processor, crops[start : start + CROPS_PER_PASS], alike)
    return np.stack(found) if found else np.zeros((0, dimensions), np.float32)


def unit(features: torch.Tensor) -> Vectors:
    """Return rows of length one, on the CPU.

    Raises:
        AutolabelError: a number is not finite; compared with it, every crop would seem to fit.
    """
    if not torch.isfinite(features).all():
        raise AutolabelError(
            "the embedder gives vectors that are not finite numbers",
            hint="its weights are damaged or it does not run on this device: fetch it again, use "
            "another, or --device cpu",
        )
    scaled: Vectors = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return scaled
