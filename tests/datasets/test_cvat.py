from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from autolabel.datasets.base import ExportImage, WriteOptions
from autolabel.datasets.cvat import to_runs, write
from autolabel.datasets.ground_truth import GroundTruth, read_ground_truth, read_hand_labels
from autolabel.datasets.xml import LARGEST_XML
from autolabel.errors import AutolabelError
from autolabel.ops.masks import boxes, crop_of, decode, encode
from autolabel.types import Correction, Objects, Record
from tests.conftest import make_photos
from tests.datasets.conftest import Fixture

BOX = '<box label="cat" xtl="1" ytl="2" xbr="4" ybr="6"/>'


def xml(*shapes: str, meta: str = "", image: str = 'name="0000.png" width="10" height="8"') -> str:
    return f"<annotations>{meta}<image id='0' {image}>{''.join(shapes)}</image></annotations>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_photos(tmp_path / "images", 2)
    return tmp_path


def read(folder: Path, *shapes: str, **more: str) -> GroundTruth:
    (folder / "annotations.xml").write_text(xml(*shapes, **more), "utf-8")
    return read_ground_truth(folder)


def polygon(points: str, **more: str) -> str:
    return f'<polygon label="cat" points="{points}"' + "".join(
        f' {key}="{value}"' for key, value in more.items()
    ) + "/>"  # fmt: skip


@pytest.mark.parametrize(
    ("shape", "box", "pixels"),
    [
        (BOX, [1, 2, 4, 6], None),
        ('<box label="cat" xtl="4" ytl="6" xbr="1" ybr="2"/>', [1, 2, 4, 6], None),
        ('<box label="cat" xtl="2" ytl="3" xbr="8" ybr="5" rotation="90"/>', [4, 1, 6, 7], None),
        (polygon("1,1;3,1;3,5;1,5"), [1, 1, 3, 5], 8),
        ('<ellipse label="cat" cx="5" cy="4" rx="3" ry="2"/>', [2, 2, 8, 6], 20),
        ('<mask label="cat" rle="1, 2, 1, 2" left="4" top="3" width="3" height="2"/>',
         [4, 3, 7, 5], 4),
    ],
)  # fmt: skip
def test_shapes(folder: Path, shape: str, box: list[float], pixels: int | None) -> None:
    truth = read(folder, shape)
    (image,) = truth.records
    assert (truth.names, image.path) == (("cat",), folder / "images/0000.png")
    np.testing.assert_allclose(image.objects.xyxy, [box], atol=1e-5)
    (mask,) = image.objects.mask
    assert (None if mask is None else int(decode([mask], 8, 10).sum())) == pixels


def test_a_mask_runs_row_by_row(folder: Path) -> None:
    shape = '<mask label="cat" rle="1, 2, 1, 2" left="4" top="3" width="3" height="2"/>'
    (mask,) = read(folder, shape).records[0].objects.mask
    expected = np.zeros((8, 10), bool)
    expected[3:5, 4:7] = [[0, 1, 1], [0, 1, 1]]
    assert (decode([mask], 8, 10)[0] == expected).all()


def test_the_meta_gives_the_order_of_the_classes(folder: Path) -> None:
    names = "".join(
        f"<label><name>{n}</name><attributes/></label>" for n in ("dog", "a &lt; b", "cat")
    )
    part = "<label><name>eye</name><parent>dog</parent></label>"
    truth = read(folder, BOX, meta=f"<meta><task><labels>{names}{part}</labels></task></meta>")
    assert truth.names == ("dog", "a < b", "cat")


def test_the_source_tells_what_people_did(folder: Path) -> None:
    sources = ("manual", "semi-auto", "auto", "file", "consensus", "")
    boxes = (BOX.replace("/>", f' source="{source}"/>') for source in sources)
    corrections = read(folder, *boxes, BOX).records[0].objects.correction
    assert [c and c.action for c in corrections] == [
        "drawn", "moved", None, None, "drawn", None, None,
    ]  # fmt: skip


def test_polygons_of_one_group_are_one_object(folder: Path) -> None:
    left, right = polygon("0,0;2,0;2,4;0,4", group_id="7"), polygon("5,0;7,0;7,4;5,4", group_id="7")
    alone, boxed = polygon("5,0;7,0;7,4;5,4", group_id="0"), BOX.replace("/>", ' group_id="7"/>')
    objects = read(folder, left, boxed, right, alone).records[0].objects
    assert objects.xyxy.tolist() == [[0, 0, 7, 4], [1, 2, 4, 6], [5, 0, 7, 4]]
    assert int(decode([objects.mask[0]], 8, 10).sum()) == 16


def test_what_has_no_area_is_counted(folder: Path) -> None:
    line = '<polyline label="cat" points="1,1;2,2"/>'
    odd = ('<points label="cat" points="1,1"/>', line, line, '<tag label="cat"/>', "<blob/>")
    truth = read(folder, *odd, BOX)
    assert len(truth.records[0].objects) == 1
    words = "1 <blob>, 1 points, 2 polylines, 1 tags of whole images"
    assert truth.skipped_in_words == words


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (BOX.replace('label="cat"', ""), "no label"),
        (BOX.replace('xtl="1"', ""), "not a number"),
        (BOX.replace('xtl="1"', 'xtl="nan"'), "not finite"),
        (BOX.replace('xtl="1"', 'xtl="1e400"'), "not finite"),
        (BOX.replace('xtl="1"', 'xtl="1e11"'), "far outside"),
        (BOX.replace('xtl="1"', 'xtl="1,2"'), "usable xtl"),
        (BOX.replace("/>", ' rotation="x"/>'), "not a number"),
        (polygon("1,1;2,2"), "less than 3 points"),
        (polygon("1,1;2,2;3"), "less than 3 points"),
        (polygon(""), "less than 3 points"),
        ('<mask label="cat" rle="1,2" left="4" top="3" width="3" height="2"/>', "does not cover"),
        ('<mask label="cat" rle="-1,7" left="4" top="3" width="3" height="2"/>', "does not cover"),
        ('<mask label="cat" rle="6" left="8" top="3" width="3" height="2"/>', "lie within"),
        ('<mask label="cat" rle="6" left="-1" top="3" width="3" height="2"/>', "lie within"),
        ('<mask label="cat" rle="" left="4" top="3" width="3" height="2"/>', "does not cover"),
        ('<mask label="cat" left="4" top="3" width="1" height="nan"/>', "not finite"),
    ],
)
def test_what_is_wrong_is_said(folder: Path, shape: str, message: str) -> None:
    with pytest.raises(AutolabelError, match=f"image '0000.png', shape 1: .*{message}"):
        read(folder, BOX, shape)


def test_a_mask_of_an_image_that_cannot_be_is_refused(folder: Path) -> None:
    huge = 'name="0000.png" width="100000" height="100000"'
    mask = '<mask label="cat" rle="{0}" left="0" top="0" width="100000" height="100000"/>'
    for shape in (polygon("1,1;2,2;3,1"), mask.format(10**10)):
        with pytest.raises(AutolabelError, match="shape 0"):
            read(folder, shape, image=huge)


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]>',
        '<!DOCTYPE a [<!ENTITY y SYSTEM "file:///etc/hostname">]>',
    ],
)
def test_entities_are_refused(folder: Path, head: str) -> None:
    file = folder / "annotations.xml"
    file.write_text(head + xml(BOX).replace("cat", "cat &y;"), "utf-8")
    with pytest.raises(AutolabelError, match="entities"):
        read_ground_truth(file)


def test_a_file_that_is_cut_or_too_large_is_refused(folder: Path) -> None:
    file = folder / "annotations.xml"
    file.write_text(xml(BOX)[:-20], "utf-8")
    with pytest.raises(AutolabelError, match="not valid XML"):
        read_ground_truth(folder)
    with file.open("r+b") as stream:
        stream.truncate(LARGEST_XML + 1)  # a hole: it takes no room on the disk
    with pytest.raises(AutolabelError, match="larger than"):
        read_ground_truth(file)


def test_images_are_looked_for_in_the_folder_alone(folder: Path) -> None:
    (folder / "set").mkdir()
    inner = make_photos(folder / "set/images/val", 1)[0]
    (folder / "secret.png").write_bytes(inner.read_bytes())
    for image, expected in (
        ('name="../secret.png"', None),
        (f'name="{folder}/secret.png"', None),
        ('name="val/0000.png"', inner),
        ('name="0000.png" subset="val"', inner),
        ('name="secret.png" subset="../.."', None),
    ):
        (found,) = read(folder / "set", BOX, image=image).records
        assert found.path == expected


def test_a_track_of_a_video_is_counted(folder: Path) -> None:
    text = xml(BOX).replace("</annotations>", '<track id="0" label="cat"/></annotations>')
    (folder / "annotations.xml").write_text(text, "utf-8")
    assert read_ground_truth(folder).skipped_in_words == "1 tracks of a video"


def test_an_export_names_people_and_test_images(tmp_path: Path) -> None:
    corrections = [None, Correction("drawn"), Correction("confirmed"), Correction("moved")]
    objects = Objects.create(["cat"] * 4, np.ones(4), [[0, 0, 5, 5]] * 4, correction=corrections)
    record = Record("", "", 96, 64, objects=objects)
    images = {
        "train": [ExportImage(record, "images/train", "0000", ".png")],
        "test": [ExportImage(record, "images/test", "0001", ".png")],
    }
    for (image,) in images.values():
        make_photos(tmp_path / image.folder, 1)[0].rename(tmp_path / image.path)
    write(tmp_path, images, WriteOptions(["cat"], False))
    text = (tmp_path / "annotations.xml").read_text("utf-8")
    assert re.findall(r' source="([a-z-]+)"', text)[:4] == ["auto", "manual", *["semi-auto"] * 2]
    assert re.findall(r'name="(\d+\.png)" subset="(\w+)"', text) == [
        ("0000.png", "train"), ("0001.png", "test"),
    ]  # fmt: skip
    assert {r.path for r in read_ground_truth(tmp_path).records} == {
        tmp_path / "images/train/0000.png", tmp_path / "images/test/0001.png",
    }  # fmt: skip
    (label,) = json.loads((tmp_path / "labels.json").read_text("utf-8"))
    assert (label["name"], label["attributes"][0]["name"]) == ("cat", "score")
    with pytest.raises(AutolabelError, match="exported by autolabel"):
        read_hand_labels(tmp_path)


def test_a_name_that_xml_cannot_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AutolabelError, match="XML"):
        write(tmp_path, {"train": []}, WriteOptions(["a\x01b"], False))


@settings(max_examples=60)
@given(hnp.arrays(bool, st.tuples(st.integers(1, 7), st.integers(1, 7))))
def test_every_mask_comes_back_and_is_what_the_sdk_of_cvat_reads(mask: Any) -> None:
    masks = pytest.importorskip("cvat_sdk.masks", reason="needs autolabel[cvat]")
    if not mask.any():
        return
    height, width = mask.shape
    crop, top, left = crop_of(encode(mask[None])[0], height, width)
    bottom, right = top + crop.shape[0] - 1, left + crop.shape[1] - 1
    points = [*to_runs(crop.ravel()), left, top, right, bottom]
    assert (masks.decode_mask(points, image_width=width, image_height=height) == mask).all()
    assert points == masks.encode_mask(mask)


def test_masks_of_a_workspace_come_back_to_the_pixel(masked: Fixture) -> None:
    done = masked.export("cvat")
    assert (done.task, done.lost) == ("segment", {"rejected": 5, "evidence": 5})
    for image, record in zip(read_ground_truth(masked.out).records, masked.records, strict=True):
        assert image.image_id == record.image_id
    (image, *_), size = read_ground_truth(masked.out).records, (64, 96)
    given_masks = masked.workspace.layer("images").read(0)[0].objects.kept.mask
    assert image.objects.mask.tolist() == given_masks.tolist()
    np.testing.assert_array_equal(image.objects.xyxy[:2], boxes(given_masks[:2].tolist(), *size))
    assert image.objects.score.tolist() == np.array([0.9, 0.8, 0.7], np.float32).tolist()
