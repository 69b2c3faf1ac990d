"""What a format cannot carry is counted, and nothing else is lost: every format that is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autolabel.datasets.export import ExportResult
from autolabel.datasets.formats import FORMATS, written
from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth
from autolabel.ops.masks import decode
from autolabel.types import Correction, Objects
from tests.datasets.conftest import HEIGHT, WIDTH, Fixture, ring_and_disc

FORMATS_WRITTEN = written(plugins=False)
READ_BACK = [name for name in FORMATS_WRITTEN if FORMATS[name].reader]


def exported(masked: Fixture, name: str, **values: Any) -> tuple[ExportResult, GroundTruth]:
    """Five photos with a ring, a disc and a box, of which a person drew the disc; one is empty."""
    by = Correction("drawn", "ann", "2026-01-02T03:04:05Z")
    full = masked.records[0]
    rows = list(masked.workspace.layer("images").records())
    objects = replace(rows[0].objects, correction=np.array([None, by, None, None], object))
    rows = [replace(row, objects=objects) for row in rows[:-1]]
    masked.write(*rows, replace(masked.records[-1], objects=Objects.empty()))
    assert full.image_id == rows[0].image_id
    return masked.export(name, **values), read_ground_truth(masked.out)


@pytest.mark.parametrize("name", READ_BACK)
def test_what_comes_back_is_all_but_what_was_counted(masked: Fixture, name: str) -> None:
    done, truth = exported(masked, name)
    one = FORMATS[name]
    assert one.reader is not None
    assert one.writer is not None
    assert done.objects == 12
    empty = done.lost.get("empty_images", 0)
    assert empty == (not one.writer.carries.empty_images)
    assert len(truth.records) == done.images - empty
    found = [image.objects for image in truth.records if len(image.objects)]
    assert sum(map(len, found)) == done.objects
    order = [("dog", 0), ("cat", 1), ("cat", 2)]
    for objects in found:
        assert objects.label.tolist() == [label for label, _ in order]
        scored = np.allclose(objects.score, [0.9, 0.8, 0.7], atol=1e-3)
        if "scores" in done.lost:
            assert done.lost["scores"] == 12
        elif one.reader.carries.scores:
            assert scored
    _check_masks(name, done, found)
    people = done.lost.get("corrections", 0)
    assert people == (0 if one.writer.carries.corrections else 4)
    if not people and one.reader.carries.corrections:
        assert all(objects.locked.tolist() == [False, True, False] for objects in found)


def _check_masks(name: str, done: ExportResult, found: list[Objects]) -> None:
    one = FORMATS[name]
    assert one.reader is not None
    assert one.writer is not None
    if "masks" in done.lost:
        assert (done.lost["masks"], done.task) == (8, "detect")
        return
    assert done.task == "segment"
    if not one.reader.carries.masks:
        return
    for objects in found:
        assert [m is not None for m in objects.mask[:2]] == [True, True]
        # A box that has no mask may come back as its outline, and then that is counted.
        assert objects.mask[2] is None or done.lost["boxes_as_outlines"] == 4
        ring, disc = decode(list(objects.mask[:2]), HEIGHT, WIDTH)
        drawn = ring_and_disc()
        assert (disc ^ drawn[1]).sum() < 60
        if "holes" in done.lost:
            assert done.lost["holes"] == 4
        else:
            assert not ring[30, 30], "the hole is still one"
            assert ring[52, 62], "and so is the part beside it"


@pytest.mark.parametrize("name", FORMATS_WRITTEN)
def test_every_split_is_there(masked: Fixture, name: str) -> None:
    done = masked.export(name, val_share=0.2, test_share=0.4)
    assert done.splits == {"train": 2, "val": 1, "test": 2}
    folder = FORMATS[name].writer.images  # type: ignore[union-attr]
    for split, count in done.splits.items():
        place = masked.out / folder.format(split=split)
        if "{split}" in folder:
            assert len([p for p in place.iterdir() if p.suffix == ".png"]) == count
    if FORMATS[name].reader:
        truth = read_ground_truth(masked.out)
        assert len(truth.records) == 5
        assert sum(len(image.objects) for image in truth.records) == 15
