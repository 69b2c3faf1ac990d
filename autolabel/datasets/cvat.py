"""CVAT for images 1.1, one XML file: https://docs.cvat.ai/docs/other/xml_format/.

Masks are written as CVAT's own RLE, pixel by pixel, and scores as an attribute, for which
``labels.json`` makes room: it is what CVAT's constructor takes when a task is made. Images are
named by their file names alone, as CVAT names what is picked file by file.

CVAT's ``source`` tells who made a shape: `manual` a person; `semi-auto` a machine, and a person
moved it or placed the clicks; `auto` a machine; `file` what was uploaded and not moved since. Who
changes the class of a shape leaves it as it is.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TextIO
from xml.sax.saxutils import escape, quoteattr

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.cvat_shapes import SCORE, SHAPES, SKIPPED, from_shape
from autolabel.datasets.files import absolute, located, visible
from autolabel.datasets.grouped import join
from autolabel.datasets.labelled import GroundTruthImage, LabelledImage, class_ids, loose_boxes
from autolabel.datasets.names import xml_text
from autolabel.datasets.xml import beginning, children
from autolabel.errors import AutolabelError
from autolabel.ops.masks import crop_of
from autolabel.types import Record
from autolabel.types.objects import DRAWN

_XML, _LABELS = "annotations.xml", "labels.json"
_MADE_BY = "labelled by autolabel"
_MOST_FILES = 20
"""XML files in a folder that are looked into; VOC has one for each image."""
_CHILDREN = {"version", "meta", "image", "track"}
_HINT = "export it from CVAT again, as CVAT for images 1.1"


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write one XML file for all splits, and the classes as CVAT's constructor takes them."""
    done = base.Written([_XML, _LABELS])
    with (folder / _XML).open("w", encoding="utf-8", newline="\n") as stream:
        stream.write(f'<?xml version="1.0" encoding="utf-8"?>\n<!-- {_MADE_BY} -->\n')
        stream.write("<annotations>\n<version>1.1</version>\n")
        stream.write(_meta(splits, options.names))
        number = 0
        for task, (split, images) in enumerate(splits.items()):
            for image in images:
                where = {"id": number, "name": image.file_name, "subset": split, "task_id": task}
                _write_image(stream, image.record, where, options)
                number += 1
                if options.masks:
                    size = image.record.height, image.record.width
                    done.lost["boxes"] += loose_boxes(image.record.objects.kept, *size)
        stream.write("</annotations>\n")
    score = {"name": SCORE, "input_type": "text", "mutable": False, "values": [""]}
    labels = [json.dumps({"name": n, "attributes": [score]}) for n in options.names]
    (folder / _LABELS).write_text("[\n" + ",\n".join(labels) + "\n]\n", "utf-8")
    return done


def _meta(splits: base.Splits, names: Sequence[str]) -> str:
    """Return what CVAT says of a project with a task for each split."""
    score = f"<name>{SCORE}</name><mutable>False</mutable><input_type>text</input_type>"
    score = f"<attributes><attribute>{score}<values></values></attribute></attributes>"
    labels = "".join(f"<label><name>{_text(n)}</name>{score}</label>\n" for n in names)
    tasks = "".join(
        f"<task><id>{i}</id><name>{split}</name><size>{len(images)}</size>"
        f"<mode>annotation</mode><subset>{split}</subset></task>\n"
        for i, (split, images) in enumerate(splits.items())
    )
    subsets = "\n".join(splits)
    return (
        f"<meta><project><name>autolabel</name>\n<tasks>\n{tasks}</tasks>\n"
        f"<labels>\n{labels}</labels>\n<subsets>{subsets}</subsets></project></meta>\n"
    )


def _write_image(
    stream: TextIO, record: Record, where: Mapping[str, Any], options: base.WriteOptions
) -> None:
    size = {"width": record.width, "height": record.height}
    stream.write(f"<image{_attributes({**where, **size})}>\n")
    kept = record.objects.kept
    class_ids(kept, options.names)
    for i, mask in enumerate(kept.mask):
        correction = kept.correction[i]
        source = "auto" if correction is None else "manual"
        if correction is not None and correction.action != DRAWN:
            source = "semi-auto"
        tag, shape = _shape(kept.xyxy[i], mask if options.masks else None, record)
        fields = {"label": kept.label[i], "source": source, "occluded": 0, **shape, "z_order": 0}
        score = f'<attribute name="{SCORE}">{kept.score[i]!s}</attribute>'
        stream.write(f"<{tag}{_attributes(fields)}>{score}</{tag}>\n")
    stream.write("</image>\n")


def _shape(box: Any, mask: bytes | None, record: Record) -> tuple[str, dict[str, Any]]:
    """Return the element of an object, and where it lies."""
    if mask is not None:
        crop, top, left = crop_of(mask, record.height, record.width)
        if crop.size:
            height, width = crop.shape
            rle = ", ".join(map(str, to_runs(crop.ravel())))
            return "mask", {"rle": rle, "left": left, "top": top, "width": width, "height": height}
    corners = np.round(np.asarray(box, np.float64), 3).tolist()
    return "box", dict(zip(("xtl", "ytl", "xbr", "ybr"), corners, strict=True))


def to_runs(flat: Any) -> list[int]:
    """Return the lengths of the runs of False and True by turns; the first is of False.

    >>> to_runs([True, True, False]), to_runs([False, True])
    ([0, 2, 1], [1, 1])
    """
    edges = np.flatnonzero(np.diff(np.asarray(flat, np.int8), prepend=0))
    runs: list[int] = np.diff([0, *edges, len(flat)]).tolist()
    return runs


def _attributes(fields: Mapping[str, Any]) -> str:
    return "".join(f" {key}={quoteattr(xml_text(str(value)))}" for key, value in fields.items())


def _text(value: str) -> str:
    return escape(xml_text(value))


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or those in a folder: ``annotations.xml``, else any XML file of CVAT."""
    files = [path]
    if path.is_dir():
        named = path / _XML
        files = [named] if named.is_file() else list(visible(path, "*.xml"))
        files = files if len(files) <= _MOST_FILES else []
    for file in files:
        root, child = (*beginning(file), "", "")[:2]
        if root == "annotations" and child in _CHILDREN:
            skipped: Counter[str] = Counter()
            yield base.Candidate(file, partial(_read, file, skipped), skipped=skipped)


def _read(file: Path, skipped: Counter[str]) -> base.Labels:
    here = absolute(file).parent
    names: list[str] = []
    images: list[GroundTruthImage] = []
    for element in children(file):
        if element.tag == "meta":
            labels = (one for one in element.iter("label") if one.find("parent") is None)
            names += [name for one in labels if (name := (one.findtext("name") or "").strip())]
        elif element.tag == "image":
            image = from_image(element, skipped, file)
            subset = element.get("subset") or ""
            folders = [here / "images", here, *(here / "images" / s for s in _inner(subset))]
            images.append(located(image, image.file_name, folders))
        elif element.tag == "track":
            skipped["tracks of a video"] += 1
    used = {str(label) for image in images for label in image.objects.label}
    return tuple(dict.fromkeys([*names, *sorted(used)])), images


def _inner(subset: str) -> list[str]:
    """Return a name as a folder, unless it leads elsewhere."""
    return [subset] if re.fullmatch(r"\w[\w .-]*", subset) else []


def from_image(element: Any, skipped: Counter[str], file: Path) -> LabelledImage:
    """Return what an ``<image>`` says.

    Polygons and masks with the same label and `group_id` are one object, as in CVAT's own export
    to COCO; a turned box is the box around it, an ellipse a mask.

    Args:
        element: the element.
        skipped: counts what is neither a box nor an area.
        file: named in errors.

    Raises:
        AutolabelError: a shape has no label, lies nowhere, or is a damaged mask.
    """
    name, width, height = element.get("name") or "", *_size(element)
    pieces = []
    for i, shape in enumerate(element):
        if shape.tag not in SHAPES:
            skipped[SKIPPED.get(shape.tag, f"<{str(shape.tag)[:40]}>")] += 1
            continue
        try:
            pieces.append(from_shape(shape, width, height))
        except ValueError as e:
            raise AutolabelError(f"{file}: image {name!r}, shape {i}: {e}", hint=_HINT) from None
    return LabelledImage(name, width, height, *join(pieces, width, height))


def _size(element: Any) -> tuple[int, int]:
    """Return width and height of an image, 0 where it does not say."""
    given = (element.get(key) or "" for key in ("width", "height"))
    width, height = (int(v) if re.fullmatch(r"[0-9]{1,6}", v) else 0 for v in given)
    return width, height


_CARRIES = base.Carries(masks=True, holes=True, scores=True, corrections=True)
_SIGNED = base.Signature(re.compile(f"<!-- {_MADE_BY}".encode()), "the second line of {}")
CVAT = base.Format(
    "CVAT for images 1.1",
    base.Reader(find, (".xml",), "an annotations.xml of CVAT for images", _CARRIES),
    base.Writer(("images/", _XML, _LABELS), write, _CARRIES, heads=(_XML,), signature=_SIGNED),
)
