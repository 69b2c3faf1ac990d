"""What the stages ask of a model, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from autolabel.ontology import Ontology
from autolabel.types import Objects

NEGATIVE = ""
"""Label of a box that a negative prompt won; the stage lets it compete and then drops it."""


class Detector(Protocol):
    """Finds the objects that prompts name."""

    def detect(
        self, images: Sequence[npt.NDArray[np.uint8]], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """Find objects in a batch.

        Args:
            images: upright RGB, uint8 (height, width, 3), of any sizes.
            ontology: classes with their prompts, and negative prompts.
            min_score: lowest score of a box to return, in [0, 1].

        Returns:
            For each image its boxes as the model gives them: not clipped, no suppression of
            overlaps; label is the class, or `NEGATIVE`; scores holds `detector`.

        Raises:
            AutolabelError: the prompts are more than the model can read.
        """
        ...
