"""What a trained student can do, whoever trained it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from autolabel.ops.arrays import Pixels
from autolabel.types import Objects

THRESHOLD = 0.25
"""Operating threshold of a student for which none could be chosen; that of ultralytics."""


class Student(Protocol):
    """A trained detector.

    Attributes:
        names: its classes, in the order of their ids.
        masks: whether it finds masks too.
        identity: ``name``, and ``revision``: the hash of its weights.
        threshold: its operating threshold: from this score on, what it finds counts as found.
    """

    names: tuple[str, ...]
    masks: bool
    identity: dict[str, str]
    threshold: float

    def predict(
        self,
        images: Sequence[Pixels],
        *,
        min_score: float,
        max_objects: int,
    ) -> list[Objects]:
        """Find objects in each image, the surest first.

        Args:
            images: upright RGB, (height, width, 3) each; they may differ in size.
            min_score: objects below it are left out.
            max_objects: most objects of one image.
        """
        ...
