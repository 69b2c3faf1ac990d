"""Segmenters that ultralytics runs from `.pt` files: MobileSAM, FastSAM, SAM 2 and SAM 3.

Ultralytics is under AGPL-3.0, whatever the licence of the weights.
"""

from __future__ import annotations

from typing import Any

from autolabel.errors import AutolabelError
from autolabel.models.base import Segmenter
from autolabel.models.checked_pickle import load_network
from autolabel.models.fast_sam import FastSam
from autolabel.models.mobile_sam import KNOWN_BY, MobileSam
from autolabel.models.quiet_ultralytics import load_ultralytics
from autolabel.models.ultralytics_sam2 import UltralyticsSam2, generation
from autolabel.registry import Located


def load_by_kind(located: Located, device: str) -> Segmenter:
    """Return the adapter for a `.pt` file, told by what it holds.

    Raises:
        AutolabelError: ultralytics or the device is not there, or the file holds something else.
    """
    load_ultralytics()
    content = load_network(located.path)
    if KNOWN_BY in content:
        return MobileSam(content, located, device)
    inner = content.get("model")
    state = inner if isinstance(inner, dict) else content
    if generation(state):
        return UltralyticsSam2(state, located, device)
    network: Any = content.get("ema") or content.get("model")
    if type(network).__name__ == "SegmentationModel" and len(network.names) == 1:
        return FastSam(network, content.get("train_args") or {}, device)
    raise AutolabelError(
        f"{located.name} holds neither MobileSAM, FastSAM, SAM 2 nor SAM 3",
        hint="use mobile_sam.pt, FastSAM-s.pt, sam2.1_t.pt, sam3.pt or the like, or a name from "
        "`autolabel models`",
    )
