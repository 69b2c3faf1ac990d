from __future__ import annotations

import pytest

from autolabel.datasets.voc import from_voc
from autolabel.errors import AutolabelError

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
