"""What a training gives, and the part of ``run.json`` that says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autolabel.train.folder import BEST, is_complete, read_run


class RunFile(BaseModel):
    """What ``run.json`` says of a complete training, as far as its result tells it."""

    model_config = ConfigDict(frozen=True)

    images: int
    objects: int
    epochs: int
    seconds: float
    masks: bool
    skipped: dict[str, int]
    resumed_from: list[int]
    val_images: int
    objects_by_class: dict[str, int]
    threshold: dict[str, Any] | None = None
    reason: str | None = None
    rewritten: int | None = None


def complete_run(
    folder: Path, binding: Mapping[str, Any] | None = None, *, request: str | None = None
) -> RunFile | None:
    """Return what ``run.json`` says where a whole training is there, made from just this.

    None where there is none, or where ``run.json`` is damaged: then the student is trained anew.
    """
    if not is_complete(folder, binding, request=request):
        return None
    try:
        return RunFile.model_validate(read_run(folder))
    except ValidationError:
        return None


@dataclass(frozen=True)
class TrainResult:
    """A trained student.

    Attributes:
        folder: with best.pt, last.pt, run.json, metrics.csv and train.log.
        weights: those of the best epoch.
        images, objects: how many it learned from.
        epochs: how often it saw them.
        resumed_from: the epoch after which a stopped training went on, or None.
        seconds: of training, without what a kill lost.
        skipped: images not learned from, by reason.
        fresh: False where it was complete already, and nothing was done.
        val_images: images that chose the best epoch; with none, the last one is the best.
        unlearned: classes without a label to learn from.
        threshold: what run.json says of the operating threshold, see `choose_threshold`.
        task: ``detect`` or ``segment``.
        reason: why, in words that follow "task: segment,".
        rewritten: images written anew for the trainer, which cannot read them as they are.
        held_out: held-out photos that it was kept from, with all that was made from them.
    """

    folder: Path
    weights: Path
    images: int
    objects: int
    epochs: int
    resumed_from: int | None
    seconds: float
    skipped: dict[str, int]
    fresh: bool
    val_images: int = 0
    unlearned: tuple[str, ...] = ()
    threshold: dict[str, Any] = field(default_factory=dict)
    task: str = "detect"
    reason: str = ""
    rewritten: int = 0
    held_out: int = 0

    @classmethod
    def of(cls, folder: Path, run: RunFile, held_out: int, *, fresh: bool) -> TrainResult:
        """Tell what lies in the folder of a complete training."""
        return cls(
            folder=folder,
            weights=folder / BEST,
            images=run.images,
            objects=run.objects,
            epochs=run.epochs,
            resumed_from=run.resumed_from[-1] if run.resumed_from else None,
            seconds=run.seconds,
            skipped=run.skipped,
            fresh=fresh,
            val_images=run.val_images,
            unlearned=tuple(name for name, count in run.objects_by_class.items() if not count),
            threshold=run.threshold or {},
            task=task_name(run.masks),
            reason=run.reason or "",
            rewritten=run.rewritten or 0,
            held_out=held_out,
        )


def task_name(masks: bool) -> str:
    """Return what a student of masks, or of boxes, is called to be for."""
    return "segment" if masks else "detect"
