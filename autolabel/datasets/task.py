"""Boxes or masks: what is asked for, or what the labels have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from autolabel.errors import UsageError
from autolabel.store import Layer

AS_ASKED = "as asked"


@dataclass(frozen=True)
class Task:
    """What labels are written as, or learned as.

    Attributes:
        masks: whether it is masks, not boxes.
        reason: why, in words that follow "task: segment,".
    """

    masks: bool
    reason: str

    @property
    def name(self) -> str:
        """``segment`` or ``detect``."""
        return "segment" if self.masks else "detect"


def choose_task(
    layer: Layer, asked: Literal["auto", "detect", "segment"], *, masks: bool = True
) -> Task:
    """Choose the task: as asked, or masks where any kept label has one.

    Args:
        layer: the labels.
        asked: what the user wants.
        masks: whether what becomes of the labels can have masks.

    Raises:
        UsageError: masks are asked for, and there is none, or they are not possible.
    """
    if asked == "segment" and not masks:
        raise UsageError(
            "the task is segment, and the format holds no masks",
            hint="use --task detect, or another --format",
        )
    if asked == "detect":
        return Task(False, AS_ASKED)
    if not masks:
        return Task(False, "since the format holds no masks")
    labels = masked = 0
    for record in layer.records():
        if record.usable:
            drawn = record.objects.kept.mask
            labels += len(drawn)
            masked += sum(mask is not None for mask in drawn)
    if asked == "segment":
        if not masked:
            raise UsageError(
                f"the task is segment, and no kept label of {layer.name}/ has a mask",
                hint="run autolabel refine first, or use --task detect",
            )
        return Task(True, AS_ASKED)
    return Task(masked > 0, f"since {_share(masked, labels)}")


def _share(masked: int, labels: int) -> str:
    if not masked:
        return "no kept label has a mask"
    if masked == labels:
        return "all kept labels have masks"
    percent = 100 * masked // labels
    return f"{percent or 'less than 1'} % of the kept labels have masks"
