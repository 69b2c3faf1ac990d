"""Read the BCCD photos' hand labels (Pascal VOC XML) for the scripts of this folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from defusedxml import ElementTree

#: The source's class names and ours, in the order of our category ids.
CLASSES = {"RBC": "red blood cell", "WBC": "white blood cell", "Platelets": "platelet"}


@dataclass(frozen=True)
class LabelledPhoto:
    """One photo and its hand labels.

    `boxes_xyxy` are absolute pixels, 0-based and half-open; `classes` are indices into `CLASSES`.
    """

    path: Path
    size_wh: tuple[int, int]
    boxes_xyxy: list[tuple[int, int, int, int]]
    classes: list[int]
    degenerate: int


def read_split(data_folder: Path, split: str) -> list[LabelledPhoto]:
    """The photos named in `splits/SPLIT.txt`, in that order."""
    stems = (data_folder / "splits" / f"{split}.txt").read_text().split()
    return [read_photo(data_folder, stem) for stem in stems]


def read_photo(data_folder: Path, stem: str) -> LabelledPhoto:
    """One photo's labels. VOC boxes count pixels from 1 and include the last one.

    Boxes whose corners coincide (the source has two) are dropped and counted in `degenerate`.
    """
    root = ElementTree.parse(data_folder / "annotations_voc" / f"{stem}.xml").getroot()
    width, height = (int(root.findtext(f"size/{side}")) for side in ("width", "height"))
    names = list(CLASSES)
    boxes, classes, degenerate = [], [], 0
    for item in root.iter("object"):
        x1, y1, x2, y2 = (
            int(item.findtext(f"bndbox/{edge}")) for edge in ("xmin", "ymin", "xmax", "ymax")
        )
        if x2 <= x1 or y2 <= y1:
            degenerate += 1
            continue
        boxes.append((max(x1 - 1, 0), max(y1 - 1, 0), min(x2, width), min(y2, height)))
        classes.append(names.index(item.findtext("name")))
    path = data_folder / "images" / f"{stem}.jpg"
    return LabelledPhoto(path, (width, height), boxes, classes, degenerate)
