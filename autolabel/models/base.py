"""What the stages ask of a model, whatever its family."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from autolabel.ontology import Ontology
from autolabel.ops.arrays import Floats, Pixels, Vectors
from autolabel.types import Objects

NEGATIVE = ""
"""Label of a box that a negative prompt won; the stage lets it compete and then drops it."""


class Detector(Protocol):
    """Finds the objects that prompts name.

    What it finds in an image is what it would find in that image alone.

    Attributes:
        batch_size: images of one call where the user names no number, for speed and memory.
    """

    batch_size: int

    def detect(
        self, images: Sequence[Pixels], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        """Find objects in a batch.

        Args:
            images: upright RGB, uint8 (height, width, 3), of any sizes.
            ontology: classes with their prompts, and negative prompts.
            min_score: lowest score of a box to return, in [0, 1].

        Returns:
            For each image its boxes as the model gives them: no suppression of overlaps, and
            clipped by some only; label is the class, or `NEGATIVE`; scores holds `detector`. A
            model that gives no scores has score 1 and no `detector`. One that segments gives masks.

        Raises:
            AutolabelError: the prompts are more than the model can read, or of a kind that it
                cannot weigh.
        """
        ...


@runtime_checkable
class Batching(Protocol):
    """A detector whose input follows the shape of the image, so that not all go in one pass."""

    def input_size(self, width: int, height: int) -> tuple[int, int]:
        """Return height and width of the model's input for an image of that size, pixels.

        Images with equal answers go through the model together; those with others are never padded
        to one size. It only tells the engine what to put together: an adapter parts what it is
        handed by itself.
        """
        ...


@dataclass(frozen=True)
class Segmented:
    """The masks of n boxes of one image.

    Attributes:
        masks: compressed COCO RLE of the image's size, one a box; it may be empty.
        iou: the model's own estimate of the mask's IoU with the truth, float32 (n,); near [0, 1].
        stability: see `autolabel.ops.masks.stability`, float32 (n,).
    """

    masks: tuple[bytes, ...]
    iou: Vectors
    stability: Vectors

    @classmethod
    def none(cls) -> Segmented:
        """Return the masks of no boxes."""
        return cls((), np.zeros(0, np.float32), np.zeros(0, np.float32))


def batch_size_of(model: object) -> int:
    """Tell how many images a call of a model should have; 1 where a plugin's does not say."""
    return int(getattr(model, "batch_size", 1))


class Segmenter(Protocol):
    """Turns boxes into masks."""

    def segment(
        self,
        image: Pixels,
        boxes_xyxy: Vectors,
        *,
        multimask: bool,
        box_agreement: float,
    ) -> Segmented:
        """Find what each box is around; the image is encoded once, and not at all without boxes.

        Args:
            image: upright RGB, uint8 (height, width, 3).
            boxes_xyxy: prompts (n, 4), absolute pixels, half-open.
            multimask: whether the model gives several candidates a box, of which the best by
                predicted IoU is taken, or one.
            box_agreement: lowest IoU of a candidate's own box with the prompt, in [0, 1];
                candidates below it are passed over while another is above.
        """
        ...


class Embedder(Protocol):
    """Turns crops into vectors that are close where the crops look alike.

    Attributes:
        dimensions: of a vector.
        batch_size: images, whose crops are many more, of one call where the user names no number.
    """

    dimensions: int
    batch_size: int

    def embed_images(self, crops: Sequence[Pixels]) -> Vectors:
        """Embed crops.

        Args:
            crops: RGB, uint8 (height, width, 3), of any sizes; square ones are not cut.

        Returns:
            float32 (n, dimensions), each row of length one.
        """
        ...


@dataclass(frozen=True)
class Scoring:
    """How an image-text model turns a cosine into a score: `scale * cosine + bias`.

    `sigmoid` tells whether each text is scored by itself (SigLIP) or all by a softmax (CLIP).
    """

    scale: float
    bias: float
    sigmoid: bool

    def probabilities(self, cosines: Vectors) -> Vectors:
        """Return probabilities in [0, 1] of texts along the last axis.

        >>> Scoring(100.0, 0.0, False).probabilities(np.array([[0.3, 0.3]], np.float32)).tolist()
        [[0.5, 0.5]]
        """
        logits = self.scale * cosines.astype(np.float64) + self.bias
        if self.sigmoid:
            return (0.5 * (1 + np.tanh(logits / 2))).astype(np.float32)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        shares: Floats = powers / powers.sum(axis=-1, keepdims=True)
        return shares.astype(np.float32)


class ImageTextEmbedder(Embedder, Protocol):
    """An embedder that puts texts into the same space as images."""

    scoring: Scoring

    def embed_texts(self, texts: Sequence[str]) -> Vectors:
        """Embed texts; float32 (n, dimensions), each row of length one.

        Raises:
            AutolabelError: a text is longer than the model reads.
        """
        ...
