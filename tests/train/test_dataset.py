"""What the trainer reads of the labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from autolabel.ops.masks import encode
from autolabel.train.choose import choose
from autolabel.train.dataset import write_dataset
from autolabel.types import Objects, Record
from tests.train.conftest import ONTOLOGY, draw_photos, labelled, recipe

FINER = 8
"""How many times finer than the photo outlines are filled, so that their own width is nothing."""


def drawn() -> npt.NDArray[np.bool_]:
    """Masks (2, 96, 128): a ring and, apart from it, a smaller ring; a square."""
    ys, xs = np.mgrid[:96, :128]
    large, small = np.hypot(xs - 40, ys - 45), np.hypot(xs - 100, ys - 70)
    rings = ((large < 30) & (large > 15)) | ((small < 14) & (small > 7))
    return np.stack([rings, (xs >= 90) & (xs < 120) & (ys >= 5) & (ys < 35)])


def label(record: Record, i: int) -> Objects:
    masks = drawn()
    boxes = [[10, 15, 115, 85], [90, 5, 120, 35]]
    return Objects.create(["bar", "square"], [0.9, 0.8], boxes, mask=encode(masks))


def test_holes_and_parts_are_in_what_the_student_learns_from(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs autolabel[train]")
    from ultralytics.data.utils import polygon2mask

    workspace, layer = labelled(tmp_path / "ws", draw_photos(tmp_path / "photos", 3), label)
    config = recipe(tmp_path / "none.yaml")
    data = write_dataset(
        workspace, choose(workspace, layer, config), ONTOLOGY, config, tmp_path / "set", masks=True
    )
    files = sorted((data.folder / "labels").glob("*/*.txt"))
    assert len(files) == 3
    for file in files:
        rows = [line.split() for line in file.read_text("ascii").splitlines()]
        assert [row[0] for row in rows] == ["1", "0"]
        for row, mask in zip(rows, drawn(), strict=True):
            outline = np.array(row[1:], float).reshape(-1, 2) * [128 * FINER, 96 * FINER]
            seen = polygon2mask((96 * FINER, 128 * FINER), [outline.ravel()]).astype(bool)
            meant = np.kron(mask, np.ones((FINER, FINER), bool))
            # What the simplified outline costs is some 3 %; a hole or a part is more than 10 %.
            assert (seen & meant).sum() / (seen | meant).sum() > 0.95
