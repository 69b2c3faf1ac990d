"""CSV tables of boxes, one row an object, as Roboflow and TensorFlow's object detection have them.

The first columns are theirs, ``filename,width,height,class,xmin,ymin,xmax,ymax``; score and mask
come after, where who does not know them passes them over. Corners are pixels of the image, counted
from 0, the last one not included. An image without objects is a row without a class and a box, as
RetinaNet's tables have it. A mask is ``rle:`` and compressed COCO RLE.

Spreadsheets run what begins with ``=``, ``+``, ``-`` or ``@``. So a class that does is written with
an apostrophe before it, which is taken away on reading, and a file name with ``./``.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.files import absolute, blamed_on, ends, located, read_text, visible
from autolabel.datasets.labelled import FAR, LabelledImage, shortest, side_px
from autolabel.datasets.names import from_cell, to_cell
from autolabel.datasets.one_set import merged, one_set
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas, order_corners
from autolabel.ops.images import MAX_PIXELS
from autolabel.ops.masks import from_counts
from autolabel.types import Objects

COLUMNS = ("filename", "width", "height", "class", "xmin", "ymin", "xmax", "ymax", "score", "mask",
           "source")  # fmt: skip
_FILE = "_annotations.csv"
_MADE_BY = "labelled by autolabel"
_RLE = "rle:"
_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_NEEDED = ("filename", "class", *_CORNERS)
_ALSO = {
    "file_name": "filename", "file": "filename", "image": "filename", "image_path": "filename",
    "path": "filename", "label": "class", "class_name": "class",
    "x1": "xmin", "y1": "ymin", "x2": "xmax", "y2": "ymax", "x_min": "xmin", "y_min": "ymin",
    "x_max": "xmax", "y_max": "ymax", "confidence": "score",
}  # fmt: skip
"""What others call the columns: RetinaNet, DeepForest, Kaggle's tables."""
_SPLITS = ("train", "val", "valid", "test")
_FOLDERS = ("", "images", *_SPLITS, *(f"images/{split}" for split in _SPLITS))
_HINT = f"the first line names the columns: {','.join(COLUMNS[:8])}"


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write one table for each split, beside its images."""
    done = base.Written()
    for split, images in splits.items():
        file = f"images/{split}/{_FILE}"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        with (folder / file).open("w", encoding="utf-8", newline="") as stream:
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            for image in images:
                table.writerows(_rows(image, masks=options.masks))
        done.files.append(file)
    return done


def _rows(image: base.ExportImage, *, masks: bool) -> Iterator[list[str]]:
    record, name = image.record, image.file_name
    about = [f"./{name}" if to_cell(name) != name else name, str(record.width), str(record.height)]
    kept = record.objects.kept
    if not len(kept):
        yield [*about, *[""] * 7, _MADE_BY]
    for i, box in enumerate(kept.xyxy.tolist()):
        mask = _RLE + kept.mask[i].decode("ascii") if masks and kept.mask[i] else ""
        corners = [shortest(value) for value in box]
        yield [*about, to_cell(kept.label[i]), *corners, str(kept.score[i]), mask, _MADE_BY]


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a table, or those of a folder; tables of several splits are one set."""
    if not path.is_dir():
        yield base.Candidate(path, partial(_read, [path]), sure=_is_table(path))
        return
    patterns = ("*.csv", f"*/{_FILE}", f"images/*/{_FILE}")
    found = [file for pattern in patterns for file in visible(path, pattern) if _is_table(file)]
    for files in one_set(found, path):
        source = files[0] if len(files) == 1 else path
        yield base.Candidate(source, partial(_read, files), files=tuple(files))


def _is_table(file: Path) -> bool:
    first = ends(file)[1].decode("utf-8", "replace").partition("\n")[0]
    return set(_NEEDED) <= set(_named(first))


def _named(line: str) -> list[str]:
    """Return the columns that a first line names, by our names."""
    given = (name.strip(" \t\r\"'").lower() for name in re.split(_separator(line), line))
    return [_ALSO.get(name, name) for name in given]


def _separator(line: str) -> str:
    """Return what stands between cells; spreadsheets write ``;`` where ``,`` is in numbers."""
    return max(",;\t", key=line.count)


def _read(files: Sequence[Path]) -> base.Labels:
    return merged(_read_one(file) for file in files)


def _read_one(file: Path) -> base.Labels:
    names, images = blamed_on(file, lambda: from_csv(read_text(file)))
    here = absolute(file).parent
    folders = [here / name for name in _FOLDERS] + [here.parent / name for name in _FOLDERS]
    return names, [located(image, image.file_name, folders) for image in images]


@dataclass
class _Image:
    """What the rows of one image say."""

    width: int
    height: int
    labels: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    corners: list[list[float]] = field(default_factory=list)
    masks: list[bytes | None] = field(default_factory=list)


def from_csv(text: str) -> tuple[tuple[str, ...], list[LabelledImage]]:
    """Return class names in alphabetical order, and images in the order of their first rows.

    Raises:
        AutolabelError: a column is missing, or a row is no label; the message names its line.
    """
    images: dict[str, _Image] = {}
    first = text.partition("\n")[0]
    columns = _named(first)
    if missing := [name for name in _NEEDED if name not in columns]:
        raise AutolabelError(f"there is no column {missing[0]!r}", hint=_HINT)
    with _long_cells():
        table = csv.reader(io.StringIO(text, newline=""), delimiter=_separator(first))
        try:
            next(table)
            for row in table:
                row += [""] * (len(columns) - len(row))
                del row[len(columns) :]
                if any(map(str.strip, row)):
                    pairs = zip(reversed(columns), reversed(row), strict=True)
                    _add(images, {key: cell.strip() for key, cell in pairs})  # the first one counts
        except (ValueError, csv.Error) as e:
            raise AutolabelError(f"line {table.line_num}: {e}", hint=_HINT) from None
    used = {label for image in images.values() for label in image.labels}
    return tuple(sorted(used)), [_labelled(name, image) for name, image in images.items()]


@contextmanager
def _long_cells() -> Iterator[None]:
    """Let cells be as long as masks are; the module allows 131,072 characters."""
    before = csv.field_size_limit(2**31 - 1)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _add(images: dict[str, _Image], row: Mapping[str, str]) -> None:
    """Add what a row says to its image.

    Raises:
        ValueError: what is wrong with it.
    """
    name = row["filename"].removeprefix("./")
    if not name:
        raise ValueError("there is no file name")
    size = side_px(row.get("width", "")), side_px(row.get("height", ""))
    image = images.setdefault(name, _Image(*size))
    if size != (image.width, image.height):
        raise ValueError(f"the size of {name} is another than in the rows before")
    label, cells = row.get("class", ""), [row.get(key, "") for key in _CORNERS]
    if not label and not any(cells):
        return
    if not label:
        raise ValueError("the box has no class")
    image.labels.append(from_cell(label))
    image.corners.append([_number(cell) for cell in cells])
    image.scores.append(_score(row.get("score", "")))
    image.masks.append(_mask(row.get("mask", ""), image))


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = np.nan
    if not abs(value) < FAR:
        raise ValueError(f"{text[:40]!r} is no coordinate")
    return value


def _score(text: str) -> float:
    value = _number(text) if text else 1.0
    if not 0 <= value <= 1:
        raise ValueError(f"the score {value:g} is not between 0 and 1")
    return value


def _mask(text: str, image: _Image) -> bytes | None:
    if not text.startswith(_RLE):
        return None
    if not 0 < image.width * image.height <= MAX_PIXELS:
        raise ValueError(f"a mask of {image.width} x {image.height} pixels")
    return from_counts(text.removeprefix(_RLE), image.height, image.width)


def _labelled(name: str, image: _Image) -> LabelledImage:
    boxes = order_corners(image.corners)
    objects = Objects.create(image.labels, image.scores, boxes, mask=image.masks)
    return LabelledImage(name, image.width, image.height, objects, box_areas(boxes) == 0)


_CARRIES = base.Carries(masks=True, holes=True, scores=True)
CSV = base.Format(
    "CSV",
    base.Reader(find, (".csv",), f"a CSV table with {','.join(_NEEDED)}", _CARRIES),
    base.Writer(
        ("images/",),
        write,
        _CARRIES,
        heads=tuple(f"images/{split}/{_FILE}" for split in ("train", "val", "test")),
        signature=base.Signature(re.compile(_MADE_BY.encode()), "the last column of {}"),
    ),
)
