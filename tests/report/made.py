"""Workspaces to report on: photos, labels, and what `evaluate` and `train` leave."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco

from autolabel.config import EngineConfig, IngestConfig
from autolabel.ontology import Ontology
from autolabel.stages.ingest import ingest
from autolabel.store import Layer, Manifest, Workspace, bound_to
from autolabel.types import Objects, Record
from tests.conftest import make_photos
from tests.layers import begin

CLASSES = ("cat", "dog", "bird")


def labels(classes: Sequence[str], *, masks: bool = True) -> Objects:
    """A kept object of the first class, a rejected one of the second."""
    shape = np.zeros((64, 96), np.uint8, order="F")
    shape[10:35, 8:25] = 1
    rle = coco.encode(shape)["counts"] if masks else None
    return Objects.create(
        classes[:2],
        [0.9, 0.4],
        [[5, 5, 30, 40], [50, 10, 90, 30]],
        mask=[rle, None],
        keep=[True, False],
        reason=[None, "clip_margin: 0.03 < 0.10"],
        scores=[{"clip": 0.98}, {"clip": 0.4}],
    )


def workspace(
    folder: Path,
    *,
    photos: int = 3,
    classes: Sequence[str] = CLASSES,
    found: Objects | None = None,
    names: dict[int, str] | None = None,
    settings: dict[str, Any] | None = None,
) -> Workspace:
    """Photos in `folder`/photos, all with the same labels, in the layer `detect`."""
    paths = make_photos(folder / "photos", photos)
    for i, name in (names or {}).items():
        paths[i].rename(folder / "photos" / name)
    home = Workspace(folder / "ws")
    source = IngestConfig(source=(str(folder / "photos"),), shard_size=2)
    images = ingest(home, source, EngineConfig()).layer
    ontology = Ontology.from_prompts(classes)
    manifest = Manifest(
        "detect",
        {"box_threshold": 0.3, "ontology": ontology.to_mapping(), **(settings or {})},
        model={"name": "owner/model", "revision": "abc123"},
        origin={"model": "owner/model"},
    )
    made = labels(classes) if found is None else found
    label(home, images, "detect", manifest, made)
    return home


def label(
    home: Workspace, source: Layer, name: str, manifest: Manifest, objects: Objects
) -> list[Record]:
    """Write a layer in which every image has the same objects."""
    layer = begin(home, name, bound_to(manifest, source), overwrite=False)
    done = []
    for index in source.shards():
        records = [replace(r, objects=objects) for r in source.read(index)]
        layer.write(index, records, source.digest(index))
        done += records
    return done


def truth(folder: Path, *, classes: Sequence[str] = CLASSES, known: int | None = None) -> Path:
    """COCO hand labels of the photos, with the first class and the last; of that nobody found any.

    Args:
        folder: has `photos`.
        classes: of the workspace.
        known: how many of them the hand labels have.
    """
    files = sorted((folder / "photos").iterdir())
    sizes = {"width": 96, "height": 64}
    images = [{"id": i, "file_name": p.name, **sizes} for i, p in enumerate(files, 1)]
    rows = [(1, [5, 5, 24, 36]), (len(classes), [60, 40, 20, 20])]
    rows = [row for row in rows if row[0] <= (known or len(classes))]
    found = [
        {"id": len(rows) * i + k, "image_id": i, "category_id": c, "bbox": box,
         "area": box[2] * box[3], "iscrowd": 0}
        for i in range(1, len(files) + 1) for k, (c, box) in enumerate(rows)
    ]  # fmt: skip
    categories = [{"id": i, "name": name} for i, name in enumerate(classes[:known], 1)]
    data = {"images": images, "annotations": found, "categories": categories}
    path = folder / "photos" / "truth.json"
    path.write_text(json.dumps(data))
    return path


def row(name: str, kind: str, layer: str, classes: Sequence[str], uris: Sequence[str]) -> Any:
    """What was measured of one layer; the figures are made up."""
    figures = {"ap": 0.4, "ap50": 0.8, "ap75": 0.5, "precision": 0.9, "recall": 0.75, "f1": 0.82}
    best = {"threshold": 0.4, "f1": 0.83, "precision": 0.8, "recall": 0.86}
    by_class = {**figures, "truth": 40, "predicted": 30, "tp": 27, "fp": 3, "fn": 13}
    line = {"recall": [0.0, 0.5, 0.9], "precision": [1.0, 0.9, 0.6], "score": [0.9, 0.5, 0.1]}
    size = len(classes) + 1
    return {
        "name": name, "kind": kind, "layer": layer, "score_threshold": 0.25, **figures,
        "ap_small": 0.3, "ap_medium": 0.5, "ap_large": None, "best_f1": best,
        "intervals": {"ap50": [0.75, 0.85], "ap": None}, "masks": None,
        "classes": {c: {**by_class, "best_f1": best} for c in classes},
        "curves": dict.fromkeys(classes, line),
        "confusion": {"labels": [*classes, "background"],
                      "matrix": (9 * np.eye(size, dtype=int)).tolist()},
        "images_per_second": 2.0 if kind != "student" else 50.0,
        "worst": [{"name": u, "uri": u, "tp": 1, "fp": 0, "fn": 1} for u in uris],
    }  # fmt: skip


def measured(
    home: Workspace, truth: Path, *, classes: Sequence[str] = CLASSES, student: str | None = None
) -> dict[str, Any]:
    """Write evaluate/result.json, and the predictions of a student; returns the result."""
    uris = [r.uri for r in home.layer("detect").records()][:2]
    rows = [row("detect", "teacher", "detect", classes, uris)]
    speed = None
    if student:
        rows.append(row(student, "student", f"student/{student}", classes, uris))
        source = home.layer("detect")
        label(home, source, f"student/{student}", Manifest("student"), labels(classes).kept)
        speed = {"device": "cpu", "batch_size": 4, "images": 16, "teacher": 2.0,
                 "students": {student: 50.0}, "times_faster": {student: 25.0}}  # fmt: skip
    result = {
        "truth": str(truth), "images": 3, "iou": 0.5, "bootstrap": 100, "workspace": ".",
        "classes": list(classes), "classes_without_truth": [], "without_truth": 0, "unmatched": [],
        "unmatched_reasons": {}, "device": "cpu", "rows": rows, "reference": None, "speed": speed,
        "differences": [
            {"of": r["name"], "minus": "detect",
             "figures": {"ap50": {"value": -0.1, "interval": [-0.2, -0.01]}}} for r in rows[1:]
        ],
    }  # fmt: skip
    write_result(home, result)
    return result


def write_result(home: Workspace, result: dict[str, Any]) -> None:
    """Write evaluate/result.json."""
    folder = home.path / "evaluate"
    folder.mkdir(exist_ok=True)
    (folder / "result.json").write_text(json.dumps({"key": "k", "result": result}))


def trained(home: Workspace, name: str, *, epochs: int = 3, **run: Any) -> Path:
    """Write train/NAME/ without its weights."""
    folder = home.path / "train" / name
    folder.mkdir(parents=True)
    facts = {"student": "small.yaml", "state": "complete", "images": 3, "objects": 3, **run}
    (folder / "run.json").write_text(json.dumps(facts))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "box_loss", "precision", "recall", "ap50", "ap"])
        writer.writerows([e, 1 / e, 0.5, 0.5, 0.6, 0.3] for e in range(1, epochs + 1))
    return folder
