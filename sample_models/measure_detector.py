"""Measure a detector folder against hand labels, and see whether it follows its prompt.

    python sample_models/measure_detector.py sample_data/models/detector \\
        sample_data/blood_cells/validation
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from torchvision.ops import batched_nms, box_convert, box_iou
from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

NMS_IOU = 0.6
LOWEST_SCORE = 0.05
THRESHOLD = 0.3
#: Prompts whose boxes are counted; what each should find is for the reader to judge.
PROBES = (
    ("red blood cell", "white blood cell", "platelet"),
    ("platelet",),
    ("white blood cell",),
    ("red blood cell",),
    ("platelet", "red blood cell"),
    ("thrombocyte", "leukocyte", "erythrocyte"),
    ("plt", "WBC", "RBC"),
    ("platelets", "red cells", "white cells"),
    ("xylophone",),
    ("zebra", "qwvkzu"),
    ("dice",),
    ("nucleus",),
    ("platelet", "zebra", "nucleus"),
)


@dataclass(frozen=True)
class Found:
    """Boxes of one image: `boxes_xyxy` (N, 4) pixels, `scores` (N,) 0..1, `labels` (N,) phrases."""

    boxes_xyxy: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor


def phrase_spans(tokenizer: object, phrases: Sequence[str]) -> tuple[str, list[list[int]]]:
    """The caption "phrase. phrase." and each phrase's token positions in it."""
    caption = " ".join(f"{phrase}." for phrase in phrases)
    offsets = tokenizer(caption, return_offsets_mapping=True)["offset_mapping"]
    spans, start = [], 0
    for phrase in phrases:
        end = start + len(phrase)
        spans.append([i for i, (a, b) in enumerate(offsets) if a < b and start <= a and b <= end])
        start = end + 2
    return caption, spans


@torch.inference_mode()
def find(model: object, processor: object, image: Image.Image, phrases: Sequence[str]) -> Found:
    """Boxes of one photo. A phrase's score is its best token's; class-wise NMS at `NMS_IOU`."""
    caption, spans = phrase_spans(processor.tokenizer, phrases)
    outputs = model(**processor(images=image, text=caption, return_tensors="pt"))
    chances = outputs.logits[0].sigmoid()
    scores, labels = torch.stack([chances[:, span].amax(1) for span in spans], 1).max(1)
    boxes = box_convert(outputs.pred_boxes[0], "cxcywh", "xyxy").clamp(0, 1)
    boxes = boxes * torch.tensor([*image.size, *image.size])
    above = scores >= LOWEST_SCORE
    boxes, scores, labels = boxes[above], scores[above], labels[above]
    kept = batched_nms(boxes, scores, labels, NMS_IOU)
    return Found(boxes[kept], scores[kept], labels[kept])


def average_precision(truth: COCO, found: dict[int, Found]) -> dict[str, dict[str, float]]:
    """COCO's AP, AP50 and recall (100 boxes an image) by category name, and their mean."""
    category_ids = sorted(truth.getCatIds())
    rows = [
        {
            "image_id": image_id,
            "category_id": category_ids[int(label)],
            "bbox": box_convert(box, "xyxy", "xywh").tolist(),
            "score": float(score),
        }
        for image_id, one in found.items()
        for box, score, label in zip(one.boxes_xyxy, one.scores, one.labels, strict=True)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, truth.loadRes(rows), "bbox")
        judge.params.imgIds = sorted(found)
        judge.evaluate()
        judge.accumulate()
    precision = judge.eval["precision"][..., 0, 2]
    figures = {}
    for k, category in enumerate(truth.loadCats(category_ids)):
        figures[category["name"]] = {
            "AP": float(precision[:, :, k].mean()),
            "AP50": float(precision[0, :, k].mean()),
            "recall50": float(judge.eval["recall"][0, k, 0, 2]),
        }
    mean = {key: float(np.mean([f[key] for f in figures.values()])) for key in ("AP", "AP50")}
    return figures | {"mean": mean}


def f1_by_threshold(
    truth: COCO, found: dict[int, Found], thresholds: Sequence[float]
) -> dict[str, list[float]]:
    """F1 at IoU 0.5 by category name, one value per score threshold; greedy matching by score."""
    categories = truth.loadCats(sorted(truth.getCatIds()))
    counts = np.zeros((len(categories), len(thresholds), 3))
    for image_id, one in found.items():
        for k, category in enumerate(categories):
            rows = truth.loadAnns(truth.getAnnIds(imgIds=[image_id], catIds=[category["id"]]))
            boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32)
            boxes = box_convert(boxes.reshape(-1, 4), "xywh", "xyxy")
            mine = one.labels == k
            scores, hits = match(one.boxes_xyxy[mine], one.scores[mine], boxes)
            for t, threshold in enumerate(thresholds):
                above = scores >= threshold
                counts[k, t] += [(above & hits).sum(), above.sum(), len(boxes)]
    f1 = 2 * counts[..., 0] / np.maximum(counts[..., 1] + counts[..., 2], 1)
    return {category["name"]: f1[k].tolist() for k, category in enumerate(categories)}


def match(
    boxes: torch.Tensor, scores: torch.Tensor, truth: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Scores in falling order, and which boxes hit a free object with IoU of 0.5 or more."""
    order = scores.argsort(descending=True)
    overlap = box_iou(boxes[order], truth).numpy()
    free = np.ones(len(truth), bool)
    hits = np.zeros(len(order), bool)
    for i, row in enumerate(overlap):
        row = np.where(free, row, 0.0)
        if len(row) and row.max() >= 0.5:
            free[row.argmax()] = False
            hits[i] = True
    return scores[order].numpy(), hits


def probe_counts(
    model: object, processor: object, images: Sequence[Image.Image], phrases: Sequence[str]
) -> list[int]:
    """Boxes at `THRESHOLD` over the images, per phrase."""
    counts = np.zeros(len(phrases), int)
    for image in images:
        one = find(model, processor, image, phrases)
        labels = one.labels[one.scores >= THRESHOLD].numpy()
        counts += np.bincount(labels, minlength=len(phrases))
    return counts.tolist()


def measure(model_folder: Path, truth_folder: Path) -> dict:
    """All figures of a detector folder over a folder of photos with `annotations.json`."""
    processor = AutoProcessor.from_pretrained(model_folder)
    model = AutoModelForZeroShotObjectDetection.from_pretrained(model_folder).eval()
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(truth_folder / "annotations.json")
    rows = truth.loadImgs(sorted(truth.getImgIds()))
    images = {r["id"]: Image.open(truth_folder / r["file_name"]).convert("RGB") for r in rows}
    names = [category["name"] for category in truth.loadCats(sorted(truth.getCatIds()))]
    started = time.perf_counter()
    found = {i: find(model, processor, image, names) for i, image in images.items()}
    seconds = (time.perf_counter() - started) / len(images)
    grid = [round(0.05 * n, 2) for n in range(1, 19)]
    curves = f1_by_threshold(truth, found, grid)
    return {
        "photos": len(images),
        "seconds_per_photo": round(seconds, 4),
        "average_precision": average_precision(truth, found),
        "f1_at_0.3": {name: curve[grid.index(THRESHOLD)] for name, curve in curves.items()},
        "f1_best": {
            name: {"f1": max(curve), "threshold": grid[int(np.argmax(curve))]}
            for name, curve in curves.items()
        },
        "truth_counts": {
            name: sum(a["category_id"] == k for a in truth.anns.values())
            for k, name in zip(sorted(truth.getCatIds()), names, strict=True)
        },
        "boxes_at_0.3": {
            ". ".join(probe): probe_counts(model, processor, list(images.values()), probe)
            for probe in PROBES
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model_folder", type=Path)
    parser.add_argument("truth_folder", type=Path, help="photos and annotations.json (COCO)")
    args = parser.parse_args()
    print(json.dumps(measure(args.model_folder, args.truth_folder), indent=1))


if __name__ == "__main__":
    main()
