"""Which device a model runs on."""

from __future__ import annotations

import torch

from autolabel.errors import AutolabelError


def resolve(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, `cuda:N`, `mps` or `-1` means on this machine.

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
    """What models can run on here, the fastest first."""
    cuda = (f"cuda:{i} ({torch.cuda.get_device_name(i)})" for i in range(torch.cuda.device_count()))
    mps = ["mps"] if torch.backends.mps.is_available() else []
    return [*cuda, *mps, "cpu"]
