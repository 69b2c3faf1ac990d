from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest

from autolabel.datasets.base import ExportImage, WriteOptions
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.datasets.voc import from_voc, to_voc, write
from autolabel.errors import AutolabelError
from autolabel.types import Objects, Record

HEAD = "<filename>a.jpg</filename><size><width>40</width><height>30</height></size>"


def thing(box: str = "1 2 4 6", name: str = "cat", more: str = "") -> str:
    corners = zip(("xmin", "ymin", "xmax", "ymax"), box.split(), strict=True)
    inner = "".join(f"<{tag}>{value}</{tag}>" for tag, value in corners)
    return f"<object><name>{name}</name>{more}<bndbox>{inner}</bndbox></object>"


def voc(*objects: str, head: str = HEAD) -> bytes:
    return f"<annotation>{head}{''.join(objects)}</annotation>".encode()


def test_an_image_is_read_with_coordinates_as_written() -> None:
    part = "<part><name>head</name><bndbox><xmin>9</xmin></bndbox></part>"
    image = from_voc(voc(thing(more=part), thing("0 0 1.5 2", "чашка")))
    assert (image.file_name, image.width, image.height) == ("a.jpg", 40, 30)
    assert image.objects.label.tolist() == ["cat", "чашка"]
    assert image.objects.xyxy.tolist() == [[1, 2, 4, 6], [0, 0, 1.5, 2]]
    assert image.ignore.tolist() == [False, False]


@pytest.mark.parametrize(
    ("given", "box", "ignored"),
    [
        (thing("4 6 1 2"), [1, 2, 4, 6], False),
        (thing("1 2 1 6"), [1, 2, 1, 6], True),
        (thing(more="<difficult>1</difficult>"), [1, 2, 4, 6], True),
        (thing(more="<difficult>0</difficult>"), [1, 2, 4, 6], False),
    ],
)
def test_odd_objects(given: str, box: list[float], ignored: bool) -> None:
    image = from_voc(voc(given))
    assert image.objects.xyxy.tolist() == [box]
    assert image.ignore.tolist() == [ignored]


@pytest.mark.parametrize("head", ["", "<size><width>0</width><height>x</height></size>"])
def test_a_size_that_is_not_given_is_zero(head: str) -> None:
    image = from_voc(voc(head=head))
    assert (image.file_name, image.width, image.height, len(image.objects)) == ("", 0, 0, 0)


@pytest.mark.parametrize(
    ("xml", "message"),
    [
        (b"<annotation>", "not valid XML"),
        (b"", "not valid XML"),
        (b'<?xml version="1.0" encoding="nonsense"?><annotation/>', "not valid XML"),
        (b"<annotations/>", "root is <annotations>"),
        (voc(thing(name=" ")), "no <name>"),
        (voc(thing("1 2 3 x")), "no usable box"),
        (voc(thing("1 2 3 nan")), "no usable box"),
        (voc(thing("1 2 3 1e300")), "no usable box"),
        (voc("<object><name>cat</name></object>"), "no usable box"),
        (
            b'<!DOCTYPE a [<!ENTITY x "ha"><!ENTITY y "&x;&x;">]><annotation>&y;</annotation>',
            "entities",
        ),
        (
            b'<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/hostname">]><annotation>&x;</annotation>',
            "entities",
        ),
    ],
)
def test_what_is_wrong_is_said(xml: bytes, message: str) -> None:
    with pytest.raises(AutolabelError, match=message):
        from_voc(xml)


# -- what is written ---------------------------------------------------------------------------


def image(name: str = "a", labels: Sequence[str] = ("cat",)) -> ExportImage:
    boxes = [[0, 0.25, 63.5, 48]] * len(labels)
    objects = Objects.create(labels, [1] * len(labels), boxes)
    return ExportImage(Record("", "", 64, 48, objects=objects), "JPEGImages", name, ".png")


def test_a_file_is_laid_out_as_the_devkits() -> None:
    root = ElementTree.fromstring(to_voc(image(labels=["чашка & <b>"])))
    order = ["folder", "filename", "source", "size", "segmented", "object"]
    assert [child.tag for child in root] == order
    assert [child.text for child in root.find("size")] == ["64", "48", "3"]
    (one,) = root.findall("object")
    assert [child.tag for child in one] == ["name", "pose", "truncated", "difficult", "bndbox"]
    assert one.findtext("name") == "чашка & <b>"
    assert [child.tag for child in one.find("bndbox")] == ["xmin", "ymin", "xmax", "ymax"]
    assert [child.text for child in one.find("bndbox")] == ["0", "0.25", "63.5", "48"]


def test_the_layout_is_the_devkits(tmp_path: Path) -> None:
    splits = {"train": [image("a"), image("б")], "test": [image("c", [])]}
    done = write(tmp_path, splits, WriteOptions(["cat"], False))
    assert sorted(done.files) == [
        "Annotations/a.xml", "Annotations/c.xml", "Annotations/б.xml",
        "ImageSets/Main/test.txt", "ImageSets/Main/train.txt", "labelmap.txt",
    ]  # fmt: skip
    assert (tmp_path / "ImageSets/Main/train.txt").read_text("utf-8") == "a\nб\n"


def test_the_order_of_the_classes_survives_beside_the_files(tmp_path: Path) -> None:
    """But of names that the list cannot hold, which come last."""
    names = ["zebra", "a: b", "cat", "#1", "dog"]
    write(tmp_path, {"train": [image(labels=names[:4])]}, WriteOptions(names, False))
    assert read_ground_truth(tmp_path).names == ("zebra", "cat", "dog", "#1", "a: b")
    (tmp_path / "labelmap.txt").write_text("# label\nbackground:0,0,0::\ndog:1,2,3:head:run\n")
    assert read_ground_truth(tmp_path).names == ("dog", "#1", "a: b", "cat", "zebra")


def test_what_xml_cannot_hold_is_refused() -> None:
    with pytest.raises(AutolabelError, match=r"'a\\x07' holds a character"):
        to_voc(image(labels=["a\x07"]))


def test_roboflow_splits_are_one_data_set(tmp_path: Path) -> None:
    for split in ("valid", "train", "test"):
        name = f"{split}_jpg.rf.0123456789abcdef"
        (tmp_path / split).mkdir()
        photos = voc(thing(), head=f"<filename>{name}.jpg</filename>")
        (tmp_path / split / f"{name}.xml").write_bytes(photos)
    truth = read_ground_truth(tmp_path)
    assert [r.name.partition("_")[0] for r in truth.records] == ["train", "valid", "test"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.xml").write_bytes(voc(thing()))
    with pytest.raises(AutolabelError, match="more than one set"):
        read_ground_truth(tmp_path)


def test_a_file_that_is_no_photos_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.xml").open("wb") as file:
        file.write(b"<annotation>")
        file.truncate(2**26)
    with pytest.raises(AutolabelError, match="larger than 32 MiB"):
        read_ground_truth(tmp_path / "a.xml")
