"""Weights that are not numbers: an error, for every comparison with NaN is false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from autolabel.errors import AutolabelError


def refuse_not_finite(weights: Mapping[str, Any], name: str) -> None:
    """See that every weight is a finite number.

    Args:
        weights: key -> tensor; what is not a tensor of floating point does not count.
        name: of the model, for the message.

    Raises:
        AutolabelError: one is NaN or infinite.
    """
    for key, value in weights.items():
        if isinstance(value, torch.Tensor) and value.is_floating_point() and not _is_finite(value):
            raise AutolabelError(
                f"model {name} holds weights that are not finite numbers, in {key} for one",
                hint="its files are damaged, or its training diverged: fetch it again, or use "
                "another",
            )


def weights_of(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return what a network learned; its buffers may be infinite, as masks of attention are."""
    return {
        key: value
        for key, value in network.state_dict(keep_vars=True).items()
        if isinstance(value, torch.nn.Parameter) or key.endswith(("running_mean", "running_var"))
    }


def _is_finite(weight: torch.Tensor) -> bool:
    # A sum reads the weights once, and NaN and infinity stay in it; it alone may overflow.
    quick = torch.isfinite(weight.detach().sum(dtype=torch.float32))
    return bool(quick) or bool(torch.isfinite(weight.detach()).all())
