"""The photos that everything is measured on, with their hand labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from autolabel.ops.arrays import Bools
from autolabel.types import Objects, Unmatched


@dataclass(frozen=True, eq=False)
class EvaluationSet:
    """n hand-labelled images that everything that is measured has looked at.

    Attributes:
        classes: those that the hand labels know, in the order of the ontology.
        unknown: the ontology's other classes, about which nothing is said.
        truth: hand labels of each image, by the ontology's names.
        ignore: (objects,) for each image, True where a hand label is to be ignored.
        names: of the images, as the hand labels give them.
        uris: of the images, as the layers give them.
        sides_wh: width and height of each image, pixels.
        unmatched: hand-labelled images that are not among them, and why.
        without_truth: how many usable images are not among them.
    """

    classes: tuple[str, ...]
    unknown: tuple[str, ...]
    truth: tuple[Objects, ...]
    ignore: tuple[Bools, ...]
    names: tuple[str, ...]
    uris: tuple[str, ...]
    sides_wh: tuple[tuple[int, int], ...]
    unmatched: tuple[Unmatched, ...] = ()
    without_truth: int = 0

    def labelled(self) -> Iterator[tuple[Objects, Bools]]:
        """Iterate over the hand labels of each image and what of them is to be ignored."""
        return zip(self.truth, self.ignore, strict=True)
