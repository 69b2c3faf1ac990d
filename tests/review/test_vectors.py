"""What images and objects look like: the embeddings where they are of them, else the hashes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from autolabel.review.vectors import Appearance, stacked
from autolabel.types import Objects
from tests.review.labelled import embedded, one, several, workspace


def test_objects_have_the_vectors_that_are_of_them(tmp_path: Path) -> None:
    home = workspace(tmp_path, [several(one("cat", 0.9), one("cat", 0.8, 40)), Objects.empty()])
    embedded(home, [[3, 4], [0, 1]])
    records = home.layer("detect").read(0)
    (image, crops), (other, none) = Appearance(home).of_shard(0, records)
    assert image == pytest.approx([0.6, 0.8], abs=1e-3)
    assert crops == pytest.approx(np.array([[0.6, 0.8]] * 2), abs=1e-3)
    assert (other.tolist(), none.shape) == ([0, 1], (0, 2))


def test_objects_that_came_later_have_the_vector_of_their_image(tmp_path: Path) -> None:
    home = workspace(tmp_path, [one("cat", 0.9)])
    embedded(home, [[0, 1]])
    (record,) = home.layer("detect").read(0)
    drawn = replace(record, objects=several(record.objects, one("dog", 1, 40), one("owl", 1, 60)))
    ((_, crops),) = Appearance(home).of_shard(0, [drawn])
    assert crops.tolist() == [[0, 1]] * 3


def test_without_embeddings_hashes_that_differ_in_few_bits_are_near(tmp_path: Path) -> None:
    home = workspace(tmp_path, [one("cat", 0.9)])
    (record,) = home.layer("detect").read(0)
    hashes = ("00000000000000ff", "00000000000000fe", "ffffffffffffff00")
    rows = [replace(record, phash=one_of) for one_of in hashes]
    first, near, far = (image for image, _ in Appearance(home).of_shard(0, rows))
    assert float(first @ first) == pytest.approx(1)
    assert float(first @ near) == pytest.approx(1 - 2 / 64)
    assert float(first @ far) == pytest.approx(-1)


def test_vectors_of_another_size_are_like_nothing() -> None:
    rows = stacked([np.ones(2, np.float32), np.zeros(1, np.float32), np.ones(2, np.float32)])
    assert rows.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert stacked([]).shape == (0, 1)
