"""Which device a model runs on."""

from __future__ import annotations

import torch

from autolabel.errors import AutolabelError


def resolve(name: str) -> torch.device:
    """The device that `auto`, `cpu`, `cuda`, `cuda:N` or `mps` means on this machine.

    Raises:
        AutolabelError: it is not there.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise AutolabelError(
            f"device {name} is not there: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} CUDA devices",
            hint="use --device auto or --device cpu",
        )
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise AutolabelError(
            f"device {name} is not there", hint="use --device auto or --device cpu"
        )
    return device
