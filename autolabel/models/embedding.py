"""What the two kinds of embedders share: loading, and vectors of length one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import AutoModel
from transformers.utils import logging

from autolabel.errors import AutolabelError
from autolabel.registry import Located

Vectors = npt.NDArray[np.float32]

CROPS_PER_PASS = 64
"""Crops of one forward pass, so that memory does not grow with what an image holds."""

logging.set_verbosity_error()
logging.disable_progress_bar()


def load(located: Located, processor_class: Any) -> tuple[Any, Any]:
    """Processor and model of a checkpoint, in single precision, ready for inference.

    Raises:
        AutolabelError: the files do not load, or weights are missing: transformers would fill them
            with random numbers.
    """
    try:
        processor = processor_class.from_pretrained(located.path, local_files_only=True)
        model, info = AutoModel.from_pretrained(
            located.path,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, KeyError) as e:
        raise AutolabelError(
            f"model {located.name} does not load: {' '.join(str(e).split())[:200]}",
            hint=f"fetch it again, or check the files in {located.path}",
        ) from e
    # A pooler on top is not used, and many checkpoints come without one.
    missing = sorted(k for k in info["missing_keys"] if not k.startswith("pooler."))
    if missing:
        raise AutolabelError(
            f"model {located.name} lacks {len(missing)} weights, {missing[0]} for one",
            hint="use a checkpoint that holds the whole model",
        )
    return processor, model.eval()


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
