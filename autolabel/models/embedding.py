"""What the two kinds of embedders share: vectors of length one, a limited number at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch

Vectors = npt.NDArray[np.float32]

CROPS_PER_PASS = 64
"""Crops of one forward pass, so that memory does not grow with what an image holds."""


def in_passes(
    crops: Sequence[npt.NDArray[np.uint8]],
    forward: Callable[[list[npt.NDArray[np.uint8]]], torch.Tensor],
    dimensions: int,
) -> Vectors:
    """Unit vectors of crops, a limited number at a time; float32 (n, dimensions)."""
    parts = []
    for start in range(0, len(crops), CROPS_PER_PASS):
        with torch.inference_mode():
            parts.append(unit(forward(list(crops[start : start + CROPS_PER_PASS]))))
    return np.concatenate(parts) if parts else np.zeros((0, dimensions), np.float32)


def unit(features: torch.Tensor) -> Vectors:
    """Rows of length one, on the CPU."""
    scaled: Vectors = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
    return scaled
