"""A workspace, students in it, and hand-labelled photos."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.evaluate.standin import write_student

BOX, AWAY = [10, 10, 40, 40], [50, 20, 90, 60]


@dataclass
class Scene:
    """A workspace whose photos were labelled, and hand-labelled photos that were held out."""

    home: Path
    held: list[Path]
    truth: Path

    def student(self, name: str, *rows: list[Any], names: Any = ("cat", "dog"), **run: Any) -> Path:
        """One that finds the same in every photo."""
        found = {path: [list(row) for row in rows] for path in self.held}
        return write_student(self.home / "train" / name, names, found, **run)


def write_truth(folder: Path, photos: list[Path], boxes: dict[str, list[int]]) -> None:
    """One object of each class in each photo, as COCO."""
    images = [
        {"id": i, "file_name": p.name, "width": 96, "height": 64} for i, p in enumerate(photos)
    ]
    names = list(boxes)
    annotations = [
        {"id": i * len(names) + k + 1, "image_id": i, "category_id": k + 1, "iscrowd": 0,
         "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
        for i in range(len(photos)) for k, (x1, y1, x2, y2) in enumerate(boxes.values())
    ]  # fmt: skip
    categories = [{"id": k + 1, "name": name} for k, name in enumerate(names)]
    data = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "annotations.json").write_text(json.dumps(data))


def measured(run: Run, scene: Scene, *more: object, speed: int = 0) -> Any:
    done = run(
        "evaluate", scene.home, "--truth", scene.truth, "--bootstrap", 40, "--device", "cpu",
        "--speed-images", speed, "--json", *more,
    )  # fmt: skip
    assert done.status == 0, done.err
    return done.json()


def rows_of(result: Any) -> dict[str, Any]:
    return {row["name"]: row for row in result["rows"]}
