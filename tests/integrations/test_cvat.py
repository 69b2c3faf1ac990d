"""The functions as CVAT's own loader and driver take them; no server is needed for that."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from autolabel.errors import AutolabelError, UsageError
from autolabel.integrations.by_name import LabelsByName
from autolabel.integrations.cvat import Interaction, create
from autolabel.models.base import Segmented
from autolabel.ops.masks import decode, encode
from tests.conftest import REPO
from tests.datasets.conftest import HEIGHT, WIDTH, Fixture, ring_and_disc

MODELS = REPO / "sample_data/models"
PHOTO = REPO / "sample_data/blood_cells/unlabeled/BloodImage_00000.jpg"
CELLS = {
    "model": str(MODELS / "detector"),
    "prompts": "red blood cell; WBC=white blood cell",
    "device": "cpu",
}


def load(**parameters: Any) -> Any:
    """What `cvat-cli … --function-module autolabel.integrations.cvat -p …` loads."""
    common = pytest.importorskip("cvat_cli._internal.common", reason="needs autolabel[cvat]")
    loader = common.FunctionLoader("autolabel.integrations.cvat", None, parameters)
    return loader.load()


def shapes(function: Any, image: Image.Image, name: str = "a.png", **context: Any) -> list[Any]:
    """The shapes for a task whose labels have ids from 100 on, as CVAT's driver maps them."""
    from cvat_sdk.auto_annotation import driver
    from cvat_sdk.auto_annotation.interface import DetectionFunctionSpec

    assert isinstance(function.spec, DetectionFunctionSpec)
    given = {"frame_name": name, "conf_threshold": None, "conv_mask_to_poly": False} | context
    labels = [
        SimpleNamespace(
            name=label.name,
            id=100 + label.id,
            type="any",
            sublabels=[],
            attributes=[
                SimpleNamespace(name=a.name, id=7, input_type=a.input_type, values=a.values)
                for a in label.attributes
            ],
        )
        for label in function.spec.labels
    ]
    mapper = driver._AnnotationMapper(
        logging.getLogger(),
        function.spec.labels,
        labels,
        allow_unmatched_labels=False,
        conv_mask_to_poly=given["conv_mask_to_poly"],
    )
    tags, found = mapper.validate_and_remap(function.detect(SimpleNamespace(**given), image), 3)
    assert not tags
    return list(found)


def test_boxes_of_a_photo() -> None:
    function = load(**CELLS, box_threshold=0.3)
    assert [(label.name, label.type) for label in function.spec.labels] == [
        ("red blood cell", "rectangle"), ("WBC", "rectangle"),
    ]  # fmt: skip
    with Image.open(PHOTO) as photo:
        found = shapes(function, photo)
        few = shapes(function, photo, conf_threshold=0.9)
    assert len(found) > 5 > len(few)
    assert {shape.label_id for shape in found} == {100, 101}
    for shape in found:
        assert (shape.type.value, shape.frame, shape.source) == ("rectangle", 3, "auto")
        x1, y1, x2, y2 = shape.points
        assert 0 <= x1 < x2 <= 640
        assert 0 <= y1 < y2 <= 480


def test_masks_and_polygons_of_a_photo() -> None:
    masks = pytest.importorskip("cvat_sdk.masks", reason="needs autolabel[cvat]")
    function = load(**CELLS, segmenter=str(MODELS / "segmenter"), scores=True)
    with Image.open(PHOTO) as photo:
        found = shapes(function, photo, conf_threshold=0.6)
        outlined = shapes(function, photo, conf_threshold=0.6, conv_mask_to_poly=True)
    assert len(found) == len(outlined) > 0
    for mask, polygon in zip(found, outlined, strict=True):
        assert (mask.type.value, polygon.type.value) == ("mask", "polygon")
        assert 0.6 <= float(mask.attributes[0].value) <= 1
        dense = masks.decode_mask(mask.points, image_width=640, image_height=480)
        x, y = np.array(polygon.points).reshape(-1, 2).T
        ys, xs = np.nonzero(dense)
        np.testing.assert_allclose([x.min(), x.max()], [xs.min(), xs.max() + 1], atol=1)
        np.testing.assert_allclose([y.min(), y.max()], [ys.min(), ys.max() + 1], atol=1)


def test_a_box_becomes_a_mask() -> None:
    masks = pytest.importorskip("cvat_sdk.masks", reason="needs autolabel[cvat]")
    function = load(segmenter=str(MODELS / "segmenter"), device="cpu")
    assert (function.spec.min_bounding_boxes, function.spec.min_pos_points) == (1, 0)
    with Image.open(PHOTO) as photo:
        pixels = function.preprocess_image(None, photo)
    prompts = SimpleNamespace(bounding_box=((20, 20), (120, 110)), pos_points=[(130, 60)])
    (shape,) = function.detect(None, pixels, prompts)
    dense = masks.decode_mask(shape.points, image_width=640, image_height=480)
    assert shape.type == "mask"
    assert dense[20:110, 20:130].sum() > 0.5 * dense.sum() > 0
    assert 0 <= float(shape.attributes[0].value) <= 1


class Recording:
    """A segmenter that notes the boxes it is given, and finds all of each."""

    def __init__(self) -> None:
        self.boxes: list[list[float]] = []

    def segment(self, image: Any, boxes_xyxy: Any, **options: Any) -> Segmented:
        self.boxes += boxes_xyxy.tolist()
        full = np.ones((len(boxes_xyxy), *image.shape[:2]), bool)
        ones = np.ones(len(full), np.float32)
        return Segmented(tuple(encode(full)), ones, ones)


def test_points_of_a_person_widen_the_box() -> None:
    pytest.importorskip("cvat_sdk", reason="needs autolabel[cvat]")
    segmenter = Recording()
    function, pixels = Interaction(segmenter), np.zeros((40, 60, 3), np.uint8)
    for points in ([], [(5.0, 12.0)], [(15.0, 15.0), (50.0, 35.0)]):
        prompts = SimpleNamespace(bounding_box=((10, 10), (20, 30)), pos_points=points)
        function.detect(None, pixels, prompts)
    assert segmenter.boxes == [[10, 10, 20, 30], [5, 10, 20, 30], [10, 10, 50, 35]]


@pytest.fixture
def labelled(masked: Fixture) -> Fixture:
    masked.label()
    return masked


def test_the_labels_of_a_workspace(labelled: Fixture) -> None:
    masks = pytest.importorskip("cvat_sdk.masks", reason="needs autolabel[cvat]")
    function = load(workspace=str(labelled.workspace.path))
    assert [label.name for label in function.spec.labels] == ["cat", "dog"]
    with Image.open(labelled.root / "photos/0001.png") as photo:
        ring, disc, box = shapes(function, photo, "photos/0001.png")
        assert len(shapes(function, photo, "0001.png", conf_threshold=0.75)) == 2
        with pytest.raises(AutolabelError, match=r"other\.png is not an image"):
            shapes(function, photo, "other.png")
    size = {"image_width": WIDTH, "image_height": HEIGHT}
    for shape, expected in zip((ring, disc), ring_and_disc(), strict=True):
        assert (masks.decode_mask(shape.points, **size) == expected).all()
    assert (box.type.value, box.points, box.label_id) == ("rectangle", [1, 1, 20, 9], 100)
    with pytest.raises(AutolabelError, match="10 x 10 pixels"):
        shapes(function, Image.new("RGB", (10, 10)), "0001.png")


def test_images_of_one_name_are_told_apart_by_their_folders(labelled: Fixture) -> None:
    """Which another tool may have kept, or not."""
    second = labelled.root / "photos/more/0000.png"
    second.parent.mkdir()
    second.write_bytes((labelled.root / "photos/0001.png").read_bytes())
    one, other, *_ = labelled.workspace.layer("images").read(0)
    labelled.write(one, replace(other, uri="photos/more/0000.png", objects=other.objects[:1]))
    labelled.label()
    labels = LabelsByName(labelled.workspace.path)
    assert labels.of("nothing.png", WIDTH, HEIGHT) is None
    found = labels.of("more/0000.png", WIDTH, HEIGHT)
    assert found is not None
    assert len(found) == 1
    assert (decode([found.mask[0]], HEIGHT, WIDTH)[0] == ring_and_disc()[0]).all()
    with pytest.raises(AutolabelError, match="2 images that are called"):
        labels.of("0000.png", WIDTH, HEIGHT)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({}, "nothing to look for"),
        ({"prompts": " ; "}, "nothing to look for"),
        ({"prompts": "cat", "box_threshold": 3.0}, "box_threshold"),
        ({"prompts": "cat", "model": "no-such-model"}, "no-such-model"),
        ({"workspace": "nowhere"}, "nowhere"),
    ],
)
def test_what_is_wrong_is_said(
    parameters: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((UsageError, AutolabelError), match=message):
        create(**parameters)
