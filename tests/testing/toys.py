"""A package that brings a detector, a segmenter and embedders: this file and its entry points."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from autolabel.models.base import NEGATIVE, Scoring, Segmented
from autolabel.ontology import Ontology
from autolabel.ops.masks import encode
from autolabel.registry import Located, Registered
from autolabel.types import Objects

DETECTOR = Registered("detector", "toys/detector", adapter=f"{__name__}:Boxes", model_type="boxes")
SEGMENTER = Registered(
    "segmenter", "toys/segmenter", adapter=f"{__name__}:Ellipses", model_type="ellipses"
)
EMBEDDER = Registered(
    "image-text", "toys/embedder", adapter=f"{__name__}:Means", model_type="means"
)

Photo = np.ndarray[Any, Any]


class Boxes:
    """Finds each prompt once, the larger the brighter the photo is in one of its colours."""

    batch_size = 4

    def __init__(self, located: Located, device: str) -> None:
        self.smallest = json.loads((located.path / "config.json").read_text("utf-8"))["smallest"]

    def detect(
        self, images: Sequence[Photo], ontology: Ontology, min_score: float
    ) -> list[Objects]:
        return [self.one(image, ontology, min_score) for image in images]

    def one(self, image: Photo, ontology: Ontology, min_score: float) -> Objects:
        height, width = image.shape[:2]
        bright = image.mean(axis=(0, 1)) / 255
        pairs = list(ontology.pairs())
        share = np.array([max(self.smallest, bright[i % 3]) for i in range(len(pairs))])
        zero = np.zeros(len(pairs))
        score = share / (1 + np.arange(len(pairs)))
        found = Objects.create(
            [name or NEGATIVE for name, _ in pairs],
            score,
            np.column_stack([zero, zero, share * width, share * height]),
            prompt=[prompt for _, prompt in pairs],
            scores=[{"detector": float(s)} for s in score],
        )
        return found[found.score >= min_score]


class Ellipses:
    """Draws an ellipse into each box."""

    def __init__(self, located: Located, device: str) -> None: ...

    def segment(
        self, image: Photo, boxes_xyxy: Photo, *, multimask: bool, box_agreement: float
    ) -> Segmented:
        y, x = np.mgrid[: image.shape[0], : image.shape[1]] + 0.5
        masks = np.zeros((len(boxes_xyxy), *image.shape[:2]), bool)
        for mask, (x1, y1, x2, y2) in zip(masks, boxes_xyxy, strict=True):
            across, down = (2 * x - x1 - x2) / (x2 - x1), (2 * y - y1 - y2) / (y2 - y1)
            mask[:] = across**2 + down**2 <= 1
        sure = np.full(len(masks), 0.9, np.float32)
        return Segmented(tuple(encode(masks)), sure, sure)


class Means:
    """Embeds a crop by its mean colour, a text by its letters."""

    dimensions = 4
    batch_size = 8
    scoring = Scoring(10.0, 0.0, sigmoid=False)

    def __init__(self, located: Located, device: str) -> None: ...

    def embed_images(self, crops: Sequence[Photo]) -> Photo:
        return unit([[*crop.mean(axis=(0, 1)), 1] for crop in crops])

    def embed_texts(self, texts: Sequence[str]) -> Photo:
        return unit([[len(text), *(text.count(c) for c in "ao"), 1] for text in texts])


def unit(rows: list[list[float]]) -> Photo:
    vectors = np.array(rows, np.float32).reshape(-1, 4)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
