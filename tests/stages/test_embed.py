from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from autolabel import registry
from autolabel.engine.pixels import with_pixels
from autolabel.ops.crops import square_crop
from autolabel.stages.embed import Embed
from autolabel.stages.scan import Scan
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import LEAK, Objects, Record
from tests.conftest import make_photos
from tests.embedders import save_random_dinov2


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Embed:
    folder = tmp_path_factory.mktemp("embed")
    model = registry.locate("image", str(save_random_dinov2(folder / "model")))
    return Embed(model, 0.2, "cpu")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    make_photos(folder, 2)
    return folder


def scanned(photos: Path, name: str, boxes: list[list[float]]) -> Record:
    record = with_pixels(Scan(photos).prepare(Record("", name)), photos)
    objects = Objects.create(["cat"] * len(boxes), [1] * len(boxes), np.reshape(boxes, (-1, 4)))
    return replace(record, split="pool", objects=objects)


def test_each_object_and_the_image_get_a_vector(stage: Embed, photos: Path) -> None:
    batch = [
        scanned(photos, "0000.png", [[0, 0, 20, 30], [40, 10, 90, 60]]),
        scanned(photos, "0001.png", [[3, 3, 5, 5]]),
    ]
    first, second = stage(batch)
    assert first.vectors is not None
    assert second.vectors is not None
    assert first.vectors[CROPS].shape == (2, stage.embedder.dimensions)
    assert second.vectors[CROPS].shape == (1, stage.embedder.dimensions)
    pixels = np.array(Image.open(photos / "0000.png"))
    alone = stage.embedder.embed_images(
        [square_crop(pixels, [40, 10, 90, 60], 0.2), square_crop(pixels, [0, 0, 96, 64], 0)]
    )
    np.testing.assert_allclose(first.vectors[CROPS][1], alone[0], atol=1e-5)
    np.testing.assert_allclose(first.vectors[WHOLE][0], alone[1], atol=1e-5)


def test_images_without_labels_or_out_of_the_pool_are_not_read(stage: Embed) -> None:
    some = Objects.create(["cat"], [1], [[0, 0, 4, 4]])
    assert stage.wants(Record("a", "a", objects=some))
    assert not stage.wants(Record("a", "a"))
    assert not stage.wants(Record("a", "a", objects=some, split=LEAK))
    assert not stage.wants(Record("a", "a", objects=some, error="truncated"))


def test_pixels_that_changed_are_an_error(photos: Path) -> None:
    record = replace(scanned(photos, "0000.png", [[0, 0, 4, 4]]), image_id="0" * 32)
    with pytest.raises(ValueError, match="changed since it was ingested"):
        with_pixels(record, photos)
