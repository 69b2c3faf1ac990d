"""How well boxes become masks on the held-out nuclei: a segmenter, and what needs no model."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from nuclei import Nuclei, jittered

from autolabel import registry
from autolabel.config import RefineConfig
from autolabel.ops.masks import decode
from autolabel.stages.refine import cleaned

#: How far each side of a jittered box is moved at most, as a share of the box's size.
JITTER = 0.1

#: How `refine` is set for this model; chosen on images that it learned from.
USED = {"multimask": False, "box_margin": 0.05, "min_speck": 10, "fill_holes": 10}

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Pixels (h, w, 3) and boxes (n, 4) -> masks, bool (n, h, w)."""


def fill_box(pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """Every pixel whose centre is inside the box."""
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    x1, y1, x2, y2 = boxes_xyxy.T[..., None, None]
    return (xs >= x1) & (xs < x2) & (ys >= y1) & (ys < y2)


def ellipse(pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """The ellipse that touches the box's sides."""
    ys, xs = np.mgrid[: pixels.shape[0], : pixels.shape[1]] + 0.5
    x1, y1, x2, y2 = boxes_xyxy.T[..., None, None]
    dx, dy = (2 * xs - x1 - x2) / (x2 - x1), (2 * ys - y1 - y2) / (y2 - y1)
    return dx**2 + dy**2 <= 1


def grabcut(pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
    """OpenCV's GrabCut, five rounds; where the background looks like the nucleus it finds nothing.

    Given the whole image: on crops of two to five times the box it leaves more masks empty still.
    """
    import cv2

    masks = np.zeros((len(boxes_xyxy), *pixels.shape[:2]), bool)
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    for mask, (x1, y1, x2, y2) in zip(masks, boxes_xyxy, strict=True):
        rect = [round(float(v)) for v in (x1, y1, x2 - x1, y2 - y1)]
        kind = np.zeros(mask.shape, np.uint8)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.setRNGSeed(0)
        with contextlib.suppress(cv2.error):  # nothing outside the box, or one colour only
            cv2.grabCut(bgr, kind, rect, *models, 5, cv2.GC_INIT_WITH_RECT)
            mask[:] = (kind == cv2.GC_FGD) | (kind == cv2.GC_PR_FGD)
    return masks


class Ours:
    """A segmenter as `refine` uses it; also counts its seconds."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.config = RefineConfig(model=str(folder), **options)
        self.segmenter = registry.load(registry.locate("segmenter", self.config.model), "cpu")
        self.seconds, self.judged = 0.0, []

    def __call__(self, pixels: np.ndarray, boxes_xyxy: np.ndarray) -> np.ndarray:
        boxes = boxes_xyxy.astype(np.float32)
        started = time.perf_counter()
        found = self.segmenter.segment(
            pixels,
            boxes,
            multimask=self.config.multimask,
            box_agreement=self.config.box_agreement,
        )
        found = cleaned(found, boxes, *pixels.shape[:2], self.config)
        self.seconds += time.perf_counter() - started
        self.judged += found.iou.tolist()
        return decode(found.masks, *pixels.shape[:2])


def ious(method: Method, images: Sequence[Nuclei], jitter: float, seed: int = 0) -> np.ndarray:
    """IoU of every nucleus with what a method makes of its box, moved by up to `jitter`."""
    rng = np.random.default_rng(seed)
    rows = []
    for image in images:
        height, width = image.labels.shape
        boxes = jittered(image.boxes_xyxy, jitter, rng) if jitter else image.boxes_xyxy
        boxes = np.clip(boxes, 0, [width, height, width, height])
        found, truth = method(image.pixels, boxes), image.masks()
        union = (found | truth).sum(axis=(1, 2))
        rows.append((found & truth).sum(axis=(1, 2)) / np.maximum(union, 1))
    return np.concatenate(rows)


def measure(folder: Path, images: Sequence[Nuclei]) -> dict:
    """The figures of the model card."""
    ours = Ours(folder, **USED)
    methods = {"fill the box": fill_box, "inscribed ellipse": ellipse, "this model": ours}
    rows = {
        name: [float(ious(method, images, jitter).mean()) for jitter in (0.0, JITTER)]
        for name, method in methods.items()
    }
    true = ious(ours, images, 0.0)
    count = len(true)
    return {
        "rows": rows,
        "images": len(images),
        "nuclei": count,
        "seconds": ours.seconds / (3 * len(images)),
        "judged_error": float(np.abs(np.array(ours.judged[-count:]) - true).mean()),
    }
