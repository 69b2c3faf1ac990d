"""Read the hand-drawn nuclei and split them: which images teach, and which only measure."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as rle

#: One in five, drawn with `random.Random(0).sample` from the sorted file names.
HELD_OUT = Path(__file__).parent / "nuclei_split.txt"


@dataclass(frozen=True)
class Nuclei:
    """One image and its hand-drawn masks.

    Attributes:
        name: file name.
        pixels: upright RGB, uint8 (256, 256, 3).
        boxes_xyxy: the masks' boxes, absolute pixels, half-open, float32 (n, 4).
        labels: int16 (256, 256); 0 is background, i + 1 is nucleus i. No two nuclei overlap.
    """

    name: str
    pixels: np.ndarray
    boxes_xyxy: np.ndarray
    labels: np.ndarray

    def masks(self) -> np.ndarray:
        """Every nucleus by itself, bool (n, 256, 256)."""
        return self.labels == np.arange(1, len(self.boxes_xyxy) + 1)[:, None, None]


def read_nuclei(data_folder: Path) -> tuple[list[Nuclei], list[Nuclei]]:
    """The images to learn from and the held-out ones, each in the order of their names."""
    data = json.loads((data_folder / "annotations.json").read_text())
    rows = defaultdict(list)
    for annotation in data["annotations"]:
        rows[annotation["image_id"]].append(annotation)
    held_out = set(HELD_OUT.read_text().split())
    learn, measure = [], []
    for image in sorted(data["images"], key=lambda image: image["file_name"]):
        one = _read(data_folder / "images" / image["file_name"], rows[image["id"]])
        (measure if one.name in held_out else learn).append(one)
    return learn, measure


def _read(path: Path, annotations: list[dict]) -> Nuclei:
    pixels = np.asarray(Image.open(path).convert("RGB"))
    labels = np.zeros(pixels.shape[:2], np.int16)
    boxes = np.zeros((len(annotations), 4), np.float32)
    for i, annotation in enumerate(annotations):
        x, y, width, height = annotation["bbox"]
        boxes[i] = x, y, x + width, y + height
        labels[rle.decode(annotation["segmentation"]).astype(bool)] = i + 1
    return Nuclei(path.name, pixels, boxes, labels)


def jittered(boxes_xyxy: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """Boxes with every side moved by up to `share` of the box's size, as a detector errs."""
    sides = np.tile(boxes_xyxy[:, 2:] - boxes_xyxy[:, :2], 2)
    return boxes_xyxy + rng.uniform(-share, share, boxes_xyxy.shape) * sides
