"""Pascal VOC XML, one file an image, as labelImg and others write it.

Coordinates are taken as written. The VOC devkit counts pixels from 1 and includes the last one;
labelImg and what followed it write corners counted from 0. The file does not say which it is; the
second is by far the more frequent, and the difference is one pixel at the left and the top.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from defusedxml import DefusedXmlException
from defusedxml import ElementTree as SafeXml

from autolabel.datasets import base
from autolabel.datasets.files import absolute, blamed_on, located, read_file, visible
from autolabel.datasets.labelled import FAR, LabelledImage
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, order_corners
from autolabel.ops.images import IMAGE_SUFFIXES
from autolabel.types import Objects

_IMAGE_FOLDERS = ("JPEGImages", "images", "")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_HINT = "a VOC file is <annotation> with <object>: <name> and <bndbox> (xmin ymin xmax ymax)"


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or the folders of such files: the folder itself and those in it."""
    if not path.is_dir():
        yield base.Candidate(path, partial(_read, [path]), sure=_is_voc(path))
        return
    for folder in (path, *sorted(p for p in path.iterdir() if p.is_dir())):
        if files := list(visible(folder, "*.xml")):
            yield base.Candidate(folder, partial(_read, files), sure=_is_voc(files[0]))


def _is_voc(file: Path) -> bool:
    """Return whether a file is VOC; one that cannot be read says so when it is read in earnest."""
    try:
        return bool(_root(read_file(file)).tag == "annotation")
    except AutolabelError:
        return False


def _read(files: Sequence[Path]) -> base.Labels:
    here = absolute(files[0]).parent
    folders = [here, *(here / name for name in _IMAGE_FOLDERS[:-1])]
    folders += [here.parent / name for name in _IMAGE_FOLDERS]
    images = []
    for file in files:
        labelled = blamed_on(file, partial(from_voc, read_file(file)))
        image = located(labelled, labelled.file_name or file.stem, folders)
        if image.path is None:  # the image was renamed, and the XML with it
            renamed = located(labelled, file.stem, folders, sorted(IMAGE_SUFFIXES))
            image = image if renamed.path is None else replace(renamed, name=renamed.path.name)
        images.append(image)
    names = sorted({str(label) for image in images for label in image.objects.label})
    return tuple(names), images


def from_voc(xml: bytes) -> LabelledImage:
    """Read one VOC file; objects marked difficult are to be ignored, as the VOC devkit does.

    Raises:
        AutolabelError: not XML, not VOC, or XML that declares entities.
    """
    root = _root(xml)
    if root.tag != "annotation":
        raise AutolabelError(f"its root is <{root.tag}>, not <annotation>", hint=_HINT)
    found = root.findall("object")
    boxes = order_corners([_corners(one) for one in found])
    objects = Objects.create([_name(one) for one in found], np.ones(len(found)), boxes)
    difficult = np.array([_text(one, "difficult") == "1" for one in found], dtype=bool)
    width, height = (_pixels(_text(root, f"size/{key}")) for key in ("width", "height"))
    ignore = difficult | (box_areas(boxes) == 0)
    return LabelledImage(_text(root, "filename"), width, height, objects, ignore)


def _root(xml: bytes) -> Any:
    try:
        return SafeXml.fromstring(xml)
    except DefusedXmlException:
        raise AutolabelError(
            "it declares XML entities, which is not safe to read",
            hint="remove the <!DOCTYPE …> from the file",
        ) from None
    except (SafeXml.ParseError, ValueError, LookupError) as e:
        raise AutolabelError(f"not valid XML: {e}", hint="fix that line") from None


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


VOC = base.Format(
    "Pascal VOC",
    base.Reader(find, (".xml",), "a folder of VOC .xml files", base.Carries()),
)
