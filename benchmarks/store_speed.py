"""Write and scan rates of the label store, beside COCO JSON in the same run.

    python benchmarks/store_speed.py [--images 100000] [--objects 5]

Rows hold random boxes, scores and short masks. A scan counts the kept objects by class.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
from rich.console import Console
from rich.table import Table

from autolabel.store import Manifest, Workspace
from autolabel.types import Objects, Record

CLASSES = ["red blood cell", "white blood cell", "platelet"]
SHARD = 128


def record(i: int, count: int, rng: np.random.Generator) -> Record:
    corner = rng.uniform(0, 500, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(5, 100, (count, 2))], axis=1)
    objects = Objects.create(
        [CLASSES[k] for k in rng.integers(0, 3, count)],
        rng.random(count),
        boxes,
        mask=[rng.bytes(120) for _ in range(count)],
        prompt=["cell"] * count,
        scores=[{"detector": float(s)} for s in rng.random(count)],
    )
    return Record(f"{i:032x}", f"photos/{i:08d}.jpg", 640, 480, objects=objects)


def size_mb(path: Path) -> float:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--objects", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    records = [record(i, options.objects, rng) for i in range(options.images)]
    table = Table("", "seconds", "images/s", "MB")

    def row(what: str, start: float, megabytes: float | None = None) -> None:
        seconds = time.perf_counter() - start
        size = "" if megabytes is None else f"{megabytes:.0f}"
        table.add_row(what, f"{seconds:.2f}", f"{options.images / seconds:,.0f}", size)

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        shards = dict.fromkeys(range(-(-len(records) // SHARD)), "")
        workspace = Workspace(home / "ws")
        update = workspace.plan_update("detect", Manifest("detect"), shards, overwrite=False)
        layer = update.begin()
        start = time.perf_counter()
        for i in range(0, len(records), SHARD):
            layer.write(i // SHARD, records[i : i + SHARD], None)
        row("write shards, each fsynced", start, size_mb(layer.path))

        start = time.perf_counter()
        classes: Counter[str] = Counter()
        for index in layer.shards():
            labels = layer.table(index, ["objects.list.element.label"]).column("objects")
            counted = pc.value_counts(pc.struct_field(pc.list_flatten(labels), "label"))
            classes.update({c["values"]: c["counts"] for c in counted.to_pylist()})
        row("count objects by class", start)

        start = time.perf_counter()
        read = sum(len(r.objects) for r in layer.records())
        row("read every record", start)
        assert read == sum(classes.values()) == options.images * options.objects

        path = home / "coco.json"
        start = time.perf_counter()
        annotations = [
            {"image_id": i, "bbox": box, "score": s, "category": c, "counts": m.hex()}
            for i, r in enumerate(records)
            for box, s, c, m in zip(
                r.objects.xyxy.tolist(),
                r.objects.score.tolist(),
                r.objects.label,
                r.objects.mask,
                strict=True,
            )
        ]
        path.write_text(json.dumps({"annotations": annotations}), "utf-8")
        row("the same as one JSON file: write", start, size_mb(path))
        del annotations
        start = time.perf_counter()
        Counter(a["category"] for a in json.loads(path.read_text("utf-8"))["annotations"])
        row("the same as one JSON file: count by class", start)
    Console().print(f"{options.images:,} images, {options.objects} objects each")
    Console().print(table)


if __name__ == "__main__":
    main()
