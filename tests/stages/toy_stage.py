"""A stage in one file, as another package would bring it: its options, its class and its row."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from pydantic import Field

from autolabel.config import Config
from autolabel.stages.table import StageEntry
from autolabel.types import Objects, Record


class DarknessConfig(Config):
    """Which labels are too dark."""

    darkest: float = Field(
        0.0, ge=0, le=1, description="Lowest mean brightness of a label's box; 0 is off."
    )


class Darkness:
    """Reject labels on dark ground."""

    def __init__(self, config, ontology, models, device):
        self.config = config

    def wants(self, record: Record) -> bool:
        return record.usable and len(record.objects) > 0

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        return [replace(record, objects=self.judged(record)) for record in batch]

    def judged(self, record: Record) -> Objects:
        objects = record.objects
        bright = np.array([brightness(record.image(), box) for box in objects.xyxy.tolist()])
        dark = objects.keep & (bright < self.config.darkest)
        reason = np.where(dark, "darkness", objects.reason)
        scores = objects.scores.copy()
        scores[:] = [{**old, "brightness": float(b)} for old, b in zip(scores, bright, strict=True)]
        return replace(objects, keep=objects.keep & ~dark, reason=reason, scores=scores)


def brightness(pixels, box) -> float:
    left, top, right, bottom = (int(edge) for edge in box)
    return float(pixels[top : bottom + 1, left : right + 1].mean() / 255)


DARKNESS = StageEntry(
    "darkness",
    DarknessConfig,
    f"{__name__}:Darkness",
    reads=("filter", "refine", "detect"),
    pixels=True,
    about="Reject labels on dark ground.",
)
