"""Which device a model runs on, and how many images it takes there in one pass."""

from __future__ import annotations

import torch

from autolabel.errors import AutolabelError

SMALL = 80_000_000
"""Bytes of weights of a model that leaves a processor idle between its steps, image by image."""

MOST_ON_CPU, MOST_ON_GPU = 8, 16
"""Images of one pass, however small the model and large the memory."""

LEAST_FOR_IMAGE = 2**29
"""Bytes that the work on an image is taken to need, however small the model."""


def batch_size(model: torch.nn.Module, device: torch.device) -> int:
    """Tell how many images a model should take in one pass where nobody says.

    On a CPU one, but for small models: a large one keeps every core busy with a single image, and
    more of them only take more memory. On a GPU as many as half of its free memory holds, where
    the work on an image takes twice the memory of the weights (of Grounding DINO tiny, 0.7 GB, an
    image of 800 × 1066 pixels takes 1.1 GB).
    """
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    if device.type == "cpu":
        return MOST_ON_CPU if weights < SMALL else 1
    fits = _free(device) // 2 // max(2 * weights, LEAST_FOR_IMAGE)
    # A power of two, so that a little memory more or less makes no difference.
    return 1 << (min(max(fits, 1), MOST_ON_GPU).bit_length() - 1)


def _free(device: torch.device) -> int:
    """Return the free memory of a GPU, bytes."""
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return int(torch.cuda.mem_get_info(device)[0])


def resolve(name: str) -> torch.device:
    """Return the device that `auto`, `cpu`, `cuda`, `cuda:N`, `mps` or `-1` means on this machine.

    `-1` is the CUDA device with most free memory.

    Raises:
        AutolabelError: it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    count = torch.cuda.device_count()
    if name == "-1" and count:
        free = [torch.cuda.mem_get_info(i)[0] for i in range(count)]
        return torch.device("cuda", free.index(max(free)))
    device = torch.device("cuda" if name == "-1" else name)
    cuda = device.type == "cuda" and (device.index or 0) >= count
    if cuda or (device.type == "mps" and not torch.backends.mps.is_available()):
        named = "a CUDA device" if name == "-1" else f"device {name}"
        there = _there()
        raise AutolabelError(
            f"{named} is not there: torch {torch.__version__} sees {', '.join(there)}",
            hint=f"use --device {there[0].partition(' ')[0]}, or --device auto",
        )
    return device


def _there() -> list[str]:
    """Return what models can run on here, the fastest first."""
    cuda = (f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
