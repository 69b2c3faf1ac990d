"""Pascal VOC XML, one file an image, as labelImg and others write it.

Coordinates are taken as written. The VOC devkit counts pixels from 1 and includes the last one;
labelImg and what followed it write corners counted from 0. The file does not say which it is; the
second is by far the more frequent, and the difference is one pixel at the left and the top.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from autolabel.datasets.labelled import FAR, LabelledImage
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, order_corners
from autolabel.types import Objects

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_HINT = "a VOC file is <annotation> with <object>: <name> and <bndbox> (xmin ymin xmax ymax)"


def from_voc(xml: bytes) -> LabelledImage:
    """Read one VOC file; objects marked difficult are to be ignored, as the VOC devkit does.

    Raises:
        AutolabelError: not XML, not VOC, or XML that declares entities.
    """
    try:
        root = SafeXml.fromstring(xml)
    except DefusedXmlException:
        raise AutolabelError(
            "it declares XML entities, which is not safe to read",
            hint="remove the <!DOCTYPE …> from the file",
        ) from None
    except (SafeXml.ParseError, ValueError, LookupError) as e:
        raise AutolabelError(f"not valid XML: {e}", hint="mend that line") from None
    if root.tag != "annotation":
        raise AutolabelError(f"its root is <{root.tag}>, not <annotation>", hint=_HINT)
    found = root.findall("object")
    boxes = order_corners([_corners(one) for one in found])
    objects = Objects.create([_name(one) for one in found], np.ones(len(found)), boxes)
    difficult = np.array([_text(one, "difficult") == "1" for one in found], dtype=bool)
    width, height = (_pixels(_text(root, f"size/{key}")) for key in ("width", "height"))
    ignore = difficult | (box_areas(boxes) == 0)
    return LabelledImage(_text(root, "filename"), width, height, objects, ignore)


def _text(element: Any, path: str) -> str:
    return (element.findtext(path) or "").strip()


def _name(element: Any) -> str:
    name = _text(element, "name")
    if not name:
        raise AutolabelError("an <object> has no <name>", hint=_HINT)
    return name


def _corners(element: Any) -> list[float]:
    try:
        corners = [float(_text(element, f"bndbox/{key}")) for key in _CORNERS]
    except ValueError:
        corners = []
    if not corners or not all(abs(v) < FAR for v in corners):
        raise AutolabelError(f"an object {_text(element, 'name')!r} has no usable box", hint=_HINT)
    return corners


def _pixels(text: str) -> int:
    try:
        side = int(float(text))
    except (ValueError, OverflowError):
        return 0
    return side if 0 < side < 1_000_000 else 0
