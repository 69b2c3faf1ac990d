"""Pascal VOC XML, one file an image, as labelImg and others write it.

Coordinates are taken as written, and written as they are taken, with fractions. The VOC devkit
counts pixels from 1 and includes the last one; labelImg and what followed it write corners counted
from 0. The file does not say which it is; the second is by far the more frequent (labelImg, CVAT,
datumaro, FiftyOne), and the difference is one pixel at the left and the top. Those
who hold to the devkit (supervision, detectron2) take that pixel away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.files import absolute, blamed_on, located, read_file, read_text, visible
from autolabel.datasets.labelled import FAR, LabelledImage, shortest, side_px
from autolabel.datasets.names import xml_text
from autolabel.datasets.one_set import one_set
from autolabel.datasets.xml import beginning, parsed
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, order_corners
from autolabel.ops.images import IMAGE_SUFFIXES
from autolabel.types import Objects

_IMAGE_FOLDERS = ("JPEGImages", "images", "")
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_LABEL_MAP = "labelmap.txt"
_LARGEST = 2**25  # bytes; 10,000 objects take 4 MB
_MADE_BY = "labelled by autolabel"
_MAPPED = re.compile(r"^#|[:\n]")
_UNSAID = (("truncated", "0"), ("difficult", "0"))
_HINT = "a VOC file is <annotation> with <object>: <name> and <bndbox> (xmin ymin xmax ymax)"


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write a file for each image, lists of the images of each split, and the class names."""
    done = base.Written([_LABEL_MAP])
    (folder / _LABEL_MAP).write_text(_label_map(options.names), "utf-8", newline="\n")
    (folder / "Annotations").mkdir()
    (folder / "ImageSets" / "Main").mkdir(parents=True)
    for split, images in splits.items():
        listed = f"ImageSets/Main/{split}.txt"
        stems = "".join(f"{image.stem}\n" for image in images)
        (folder / listed).write_text(stems, "utf-8", newline="\n")
        done.files.append(listed)
        for image in images:
            file = f"Annotations/{image.stem}.xml"
            (folder / file).write_text(to_voc(image), "utf-8", newline="\n")
            done.files.append(file)
    return done


def _label_map(names: Iterable[str]) -> str:
    """Return CVAT's and datumaro's list of classes; names that it cannot hold are left out."""
    plain = (name for name in names if not _MAPPED.search(name))
    return "# label:color_rgb:parts:actions\n" + "".join(f"{name}:::\n" for name in plain)


def to_voc(image: base.ExportImage) -> str:
    """Return the text of the file of one image: its kept objects."""
    record, root = image.record, ElementTree.Element("annotation")
    _add(root, "folder", image.folder)
    _add(root, "filename", image.file_name)
    _add(ElementTree.SubElement(root, "source"), "database", _MADE_BY)
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", record.width), ("height", record.height), ("depth", 3)):
        _add(size, key, str(value))
    _add(root, "segmented", "0")
    kept = record.objects.kept
    for label, box in zip(kept.label, kept.xyxy.tolist(), strict=True):
        one = ElementTree.SubElement(root, "object")
        for key, text in (("name", label), ("pose", "Unspecified"), *_UNSAID):
            _add(one, key, text)
        bndbox = ElementTree.SubElement(one, "bndbox")
        for key, value in zip(_CORNERS, box, strict=True):
            _add(bndbox, key, shortest(value))
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode") + "\n"


def _add(parent: ElementTree.Element, tag: str, text: str) -> None:
    ElementTree.SubElement(parent, tag).text = xml_text(text)


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or the folders of such files: the folder itself and those in it.

    Folders for the splits are one set, as Roboflow writes them: ``train/``, ``valid/``, ``test/``.
    """
    if not path.is_dir():
        yield base.Candidate(path, partial(_read, [path]), sure=_is_voc(path))
        return
    below = sorted(p for p in path.iterdir() if p.is_dir())
    files = {folder: list(visible(folder, "*.xml")) for folder in (path, *below)}
    for folders in one_set((folder for folder, inside in files.items() if inside), path):
        every = [file for folder in folders for file in files[folder]]
        source = folders[0] if len(folders) == 1 else path
        sure = _is_voc(every[0])
        yield base.Candidate(source, partial(_read, every), sure, files=tuple(every))


def _is_voc(file: Path) -> bool:
    """Return whether a file is VOC; one that cannot be read says so when it is read in earnest."""
    return beginning(file)[:1] == ["annotation"]


def _read(files: Sequence[Path]) -> base.Labels:
    images = []
    for file in files:
        here = absolute(file).parent
        folders = [here, *(here / name for name in _IMAGE_FOLDERS[:-1])]
        folders += [here.parent / name for name in _IMAGE_FOLDERS]
        labelled = blamed_on(file, partial(from_voc, read_file(file, _LARGEST)))
        image = located(labelled, labelled.file_name or file.stem, folders)
        if image.path is None:  # the image was renamed, and the XML with it
            renamed = located(labelled, file.stem, folders, sorted(IMAGE_SUFFIXES))
            image = image if renamed.path is None else replace(renamed, name=renamed.path.name)
        images.append(image)
    used = {str(label) for image in images for label in image.objects.label}
    mapped = _mapped(absolute(files[0]).parent)
    listed = [name for name in mapped if name in used or name != "background"]
    return (*listed, *sorted(used - set(listed))), images


def _mapped(folder: Path) -> list[str]:
    """Return the class names that CVAT, datumaro or autolabel wrote beside the files."""
    file = next((f for f in (folder / _LABEL_MAP, folder.parent / _LABEL_MAP) if f.is_file()), None)
    lines = read_text(file).splitlines() if file else []
    parts = (line.rsplit(":", 3) for line in lines if line.strip() and not line.startswith("#"))
    return list(
        dict.fromkeys(part[0].strip() for part in parts if len(part) == 4 and part[0].strip())
    )


def from_voc(xml: bytes) -> LabelledImage:
    """Read one VOC file; objects marked difficult are to be ignored, as the VOC devkit does.

    Raises:
        AutolabelError: not XML, not VOC, or XML that declares entities.
    """
    root = parsed(xml)
    if root.tag != "annotation":
        raise AutolabelError(f"its root is <{root.tag}>, not <annotation>", hint=_HINT)
    found = root.findall("object")
    boxes = order_corners([_corners(one) for one in found])
    objects = Objects.create([_name(one) for one in found], np.ones(len(found)), boxes)
    difficult = np.array([_text(one, "difficult") == "1" for one in found], dtype=bool)
    width, height = (side_px(_text(root, f"size/{key}")) for key in ("width", "height"))
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


_CARRIES = base.Carries()
_SIGNED = base.Signature(re.compile(rb"<database>labelled by autolabel<"), "<database> in {}")
VOC = base.Format(
    "Pascal VOC",
    base.Reader(find, (".xml",), "a folder of VOC .xml files", _CARRIES),
    base.Writer(
        ("JPEGImages/", "Annotations/", "ImageSets/", _LABEL_MAP),
        write,
        _CARRIES,
        images="JPEGImages",
        heads=("ImageSets/",),
        signature=_SIGNED,
    ),
)
