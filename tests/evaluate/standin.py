"""A student that needs no training: it finds what a file of the test says."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import autolabel.train
from autolabel.ops.images import decode, read_bytes
from autolabel.types import Objects


class StandIn:
    """Finds what it was told, by the sum of an image's pixels.

    Args:
        path: JSON with ``names`` and ``found``: sum -> [[class, score, box], …].
    """

    def __init__(self, path: Path, seconds: float = 0.0) -> None:
        data = json.loads(path.read_text())
        self.names: tuple[str, ...] = tuple(data["names"])
        self.masks = False
        self.identity = {"name": path.stem, "revision": "sha256:0"}
        self.found = data["found"]
        self.seconds = seconds
        self.calls = 0

    def predict(
        self, images: Sequence[npt.NDArray[np.uint8]], *, min_score: float, max_objects: int
    ) -> list[Objects]:
        self.calls += 1
        time.sleep(self.seconds * len(images))
        return [self._one(image, min_score) for image in images]

    def _one(self, image: npt.NDArray[np.uint8], min_score: float) -> Objects:
        rows = [r for r in self.found.get(str(int(image.sum())), []) if r[1] >= min_score]
        labels, scores, boxes = zip(*rows, strict=True) if rows else ((), (), ())
        return Objects.create(labels, scores, np.reshape(boxes, (-1, 4)))


def write_student(
    folder: Path, names: Sequence[str], found: dict[Path, list[Any]], **run: Any
) -> Path:
    """A folder as training leaves it."""
    folder.mkdir(parents=True, exist_ok=True)
    sums = {str(int(decode(read_bytes(path)).sum())): rows for path, rows in found.items()}
    (folder / "best.pt").write_text(json.dumps({"names": list(names), "found": sums}))
    written = {"state": "complete", "layer": "detect", "settings": {}, **run}
    (folder / "run.json").write_text(json.dumps(written))
    return folder


def stand_in(monkeypatch: pytest.MonkeyPatch, seconds: float = 0.0) -> list[StandIn]:
    """Let every student be a stand-in; the list holds those that were loaded."""
    loaded: list[StandIn] = []

    def load(reference: str | Path, device: str) -> StandIn:
        loaded.append(StandIn(Path(reference), seconds))
        return loaded[-1]

    monkeypatch.setattr(autolabel.train, "load_student", load)
    return loaded
