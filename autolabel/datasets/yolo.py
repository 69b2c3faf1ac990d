"""YOLO labels, boxes or outlines, and ``data.yaml``, as ultralytics reads them.

https://docs.ultralytics.com/datasets/detect/ and https://docs.ultralytics.com/datasets/segment/
"""

# Long: two kinds of label files and an index of them, each both ways, are one format.
from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from autolabel.datasets import base, files
from autolabel.datasets.labelled import GroundTruthImage, class_ids
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import cxcywh_shares_to_xyxy, xyxy_to_cxcywh_shares
from autolabel.ops.images import content_id
from autolabel.ops.polygons import Part, one_ring, outlines
from autolabel.reading import parse_yaml
from autolabel.sources import find_images
from autolabel.types import Objects

_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")
_SPLITS = ("val", "test", "train")
_ROW_HINT = "write: class cx cy w h (shares of the image), or class x1 y1 x2 y2 x3 y3 …"
_TOLERANCE = 0.01  # what ultralytics lets pass beyond the image


@dataclass(frozen=True)
class DataYaml:
    """What a ``data.yaml`` says.

    Attributes:
        names: classes in the order of their ids.
        path: the dataset's root as written, or None.
        splits: split -> folders or lists of images, as written.
    """

    names: tuple[str, ...]
    path: str | None
    splits: dict[str, tuple[str, ...]]


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write ``data.yaml``, and one label file for each image."""
    done = base.Written(["data.yaml"])
    (folder / "data.yaml").write_text(data_yaml(options.names, val="val" in splits), "utf-8")
    for split, images in splits.items():
        (folder / "labels" / split).mkdir(parents=True)
        for image in images:
            record, file = image.record, f"labels/{split}/{image.stem}.txt"
            size_wh = record.width, record.height
            if options.masks:
                drawn = record.objects.kept.mask
                parts = [[] if m is None else outlines(m, *size_wh[::-1]) for m in drawn]
                done.lost["seams"] += sum(len(p) > 1 or any(q.holes for q in p) for p in parts)
                done.lost["boxes_as_outlines"] += sum(not p for p in parts)
                label = to_yolo_outlines(record.objects, options.names, *size_wh, parts)
            else:
                label = to_yolo_label(record.objects, options.names, *size_wh)
            (folder / file).write_text(label, "ascii", newline="\n")
            done.files.append(file)
    return done


def to_yolo_label(objects: Objects, names: Sequence[str], width_px: int, height_px: int) -> str:
    """Return the text of one label file: a line per kept object, none for a background image.

    >>> cat = Objects.create(["cat"], [0.9], [[0, 0, 50, 20]])
    >>> to_yolo_label(cat, ["dog", "cat"], 100, 80)
    '1 0.25000000 0.12500000 0.50000000 0.25000000\\n'

    Raises:
        ValueError: a label is not in `names`.
    """
    kept = objects.kept
    rows = xyxy_to_cxcywh_shares(kept.xyxy, width_px, height_px).tolist()
    # Eight decimals: 0.0001 px in 10,000.
    return "".join(
        f"{class_id} {cx:.8f} {cy:.8f} {w:.8f} {h:.8f}\n"
        for class_id, (cx, cy, w, h) in zip(class_ids(kept, names), rows, strict=True)
    )


def to_yolo_outlines(
    objects: Objects,
    names: Sequence[str],
    width_px: int,
    height_px: int,
    parts: Sequence[Sequence[Part]],
) -> str:
    """Return the text of one label file for segmentation: class, then x and y as image shares.

    A line holds one path: an object of several parts or with holes is joined by seams, and one
    without an outline is its box.

    Args:
        objects: those that are kept are written.
        names: classes in the order of their ids.
        width_px, height_px: of the image.
        parts: of each kept object's mask.

    Raises:
        ValueError: a label is not in `names`, or the lengths differ.
    """
    kept = objects.kept
    lines = []
    for class_id, box, outline in zip(class_ids(kept, names), kept.xyxy, parts, strict=True):
        x1, y1, x2, y2 = box.tolist()
        corners = [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]
        path = one_ring(outline) if outline else np.array(corners, float)
        # Six decimals: 0.01 px in 10,000.
        shares = np.clip(path / [width_px, height_px], 0, 1).ravel()
        lines.append(f"{class_id} " + " ".join(f"{share:.6f}" for share in shares) + "\n")
    return "".join(lines)


def data_yaml(names: Sequence[str], *, val: bool) -> str:
    """Return the text of a ``data.yaml``.

    It has no ``path``: trainers then take the folder that the file lies in, so that the dataset
    can be moved. A relative one, ``.`` included, they look for in the current folder or their own.

    Args:
        names: classes in the order of their ids.
        val: whether there is a val split.
    """
    lines = ["# written by autolabel", _dumped({"train": "images/train"})]
    if not val:
        lines.append("# there is no val split, but trainers require the key")
    lines.append(_dumped({"val": "images/val" if val else "images/train"}))
    lines.append(_dumped({"names": dict(enumerate(names))}))
    return "\n".join(lines) + "\n"


def _dumped(data: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text.rstrip("\n")


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a ``data.yaml``, or that of a folder; without one, images, labels and ``classes.txt``.

    Of a file the first of the splits val, test and train is read, of a folder all of them.
    """
    if not path.is_dir():
        read = partial(_read_yaml, path, one_split=True)
        yield base.Candidate(path, read, sure=False, labels=path.parent / "labels")
        return
    labels = path / "labels"
    listed = [path / name for name in _YAML_NAMES if (path / name).is_file()]
    plain = [f for f in (path / "classes.txt", labels / "classes.txt") if f.is_file()]
    for file in listed:
        yield base.Candidate(file, partial(_read_yaml, file, one_split=False), labels=labels)
    for file in [] if listed else plain:
        yield base.Candidate(file, partial(_read_plain, path, file), labels=labels)
    if not listed and not plain and labels.is_dir():
        yield base.Candidate(labels, partial(_without_classes, path), sure=False)


def _without_classes(folder: Path) -> base.Labels:
    raise AutolabelError(
        f"{folder} has labels/ but nothing that names the classes",
        hint=f"write {folder / 'classes.txt'} with one name a line, or a data.yaml",
    )


def _read_yaml(file: Path, *, one_split: bool) -> base.Labels:
    described = files.blamed_on(file, lambda: from_data_yaml(files.read_text(file)))
    splits = [s for s in _SPLITS if s in described.splits]
    if not splits:
        raise AutolabelError(
            f"{file} names no images", hint="add val: with the folder of the images"
        )
    images: dict[Path, None] = {}  # splits may share images
    for split in splits[: 1 if one_split else None]:
        for entry in described.splits[split]:
            images.update(dict.fromkeys(_split_images(file, described, entry)))
    fence = files.absolute(file.parent.parent)
    return described.names, _images(list(images), described.names, fence, file)


def _read_plain(folder: Path, names_file: Path) -> base.Labels:
    lines = files.read_text(names_file).splitlines()
    names = tuple(line.strip() for line in lines if line.strip())
    images = folder / "images"
    found = find_images([str(images if images.is_dir() else folder)]).paths
    return names, _images(found, names, files.absolute(folder), names_file)


def _split_images(file: Path, described: DataYaml, entry: str) -> list[Path]:
    """Return the images of one entry of a split: a folder, or a list with one path a line.

    The folder of the data.yaml comes before its `path`, which may still name where the dataset
    was copied from. Roboflow writes ``../valid/images`` for what lies in ``valid/images``.
    """
    fence = files.absolute(file.parent.parent)
    bases = [file.parent, *([file.parent / described.path] if described.path else [])]
    entries = (entry, entry.removeprefix("../"))
    tried = [files.absolute(folder / one) for folder in bases for one in entries]
    existing = [path for path in tried if files.is_there(path)]
    inside = [path for path in existing if path.is_relative_to(fence)]
    if not inside:
        raise AutolabelError(
            f"{file} names {entry}, which is {'outside its folder' if existing else 'not there'}",
            hint="put data.yaml into the dataset's own folder, or fix its path:",
        )
    if inside[0].is_dir():
        return find_images([str(inside[0])]).paths
    lines = files.read_text(inside[0]).splitlines()
    paths = [files.absolute(inside[0].parent / line.strip()) for line in lines if line.strip()]
    return [path for path in paths if path.is_relative_to(fence)]


def _images(
    paths: Sequence[Path], names: Sequence[str], fence: Path, described: Path
) -> list[GroundTruthImage]:
    labels = [_label_file(path, fence) for path in paths]
    if not any(files.is_file(label) for label in labels):
        raise AutolabelError(
            f"none of the {len(paths)} images of {described} has a label file",
            hint=f"the labels of {paths[0]} would be in {labels[0]}"
            if paths
            else "put images into it",
        )
    folders = {label.parent for label in labels if "labels" in label.parts}
    lone = {p for f in folders for p in files.visible(f, "*.txt")} - {*labels, described}
    if lone := {p for p in lone if p.name != "classes.txt"}:
        raise AutolabelError(
            f"{len(lone)} label files have no image, {min(lone)} for one",
            hint="put the images beside the others, or take the label files away",
        )
    return [_image(*pair, names) for pair in zip(paths, labels, strict=True)]


def _label_file(image: Path, fence: Path) -> Path:
    """Return where labels of an image lie: the last ``/images/`` of its path is ``/labels/``."""
    below = list(image.relative_to(fence).parts)
    folders = [i for i, part in enumerate(below[:-1]) if part == "images"]
    if folders:
        below[folders[-1]] = "labels"
    return fence.joinpath(*below).with_suffix(".txt")


def _image(path: Path, label: Path, names: Sequence[str]) -> GroundTruthImage:
    data, width, height = files.read_image(path)
    text = files.read_text(label) if files.is_file(label) else ""
    objects = files.blamed_on(label, lambda: from_yolo_label(text, names, width, height))
    ignore = (objects.xyxy[:, 2:] == objects.xyxy[:, :2]).any(axis=1)
    return GroundTruthImage(path.name, path, content_id(data), width, height, objects, ignore)


def from_yolo_label(text: str, names: Sequence[str], width_px: int, height_px: int) -> Objects:
    """Read one label file: boxes, boxes with a score at the end, and polygons as their boxes.

    Raises:
        AutolabelError: a line is not a label; the message names it.
    """
    labels: list[str] = []
    scores: list[float] = []
    boxes: list[list[float]] = []
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), 1):
        if line.strip():
            try:
                name, score, box = _row(line, names)
            except ValueError as e:
                raise AutolabelError(f"line {number}: {e}", hint=_ROW_HINT) from None
            labels.append(name)
            scores.append(score)
            boxes.append(box)
    return Objects.create(labels, scores, cxcywh_shares_to_xyxy(boxes, width_px, height_px))


def _row(line: str, names: Sequence[str]) -> tuple[str, float, list[float]]:
    """Return class, score and (cx, cy, w, h) of one line.

    Raises:
        ValueError: what is wrong with it.
    """
    try:
        class_id, *values = (float(v) for v in line.split())
    except ValueError:
        raise ValueError("something is not a number") from None
    if not (class_id.is_integer() and 0 <= class_id < len(names)):
        raise ValueError(f"class {class_id:g} is not one of the {len(names)} classes")
    score = values.pop() if len(values) == 5 else 1.0
    if len(values) < 4 or len(values) % 2:
        raise ValueError(f"{1 + len(values)} values are neither a box nor a polygon")
    # NaN compares as False, and so is refused.
    if not (all(-_TOLERANCE <= v <= 1 + _TOLERANCE for v in values) and 0 <= score <= 1):
        raise ValueError("a value is not between 0 and 1")
    if len(values) == 4:
        return names[int(class_id)], score, values
    points = np.array(values).reshape(-1, 2)
    low, high = points.min(axis=0), points.max(axis=0)
    return names[int(class_id)], score, [*((low + high) / 2).tolist(), *(high - low).tolist()]


def from_data_yaml(text: str) -> DataYaml:
    """Read a ``data.yaml`` with `names` as a list or as a mapping of ids.

    Raises:
        AutolabelError: it is not YAML, or has no usable names.
    """
    try:
        data = parse_yaml(text)
    except ValueError as e:
        raise AutolabelError(f"not valid YAML: {e}", hint="fix that line") from None
    if not isinstance(data, dict):
        raise AutolabelError("no keys in it", hint="a data.yaml has names:, train: and val:")
    splits = {
        split: tuple(str(v) for v in (value if isinstance(value, list) else [value]))
        for split in _SPLITS
        if (value := data.get(split))
    }
    path = data.get("path")
    return DataYaml(_names(data.get("names")), None if path is None else str(path), splits)


def _names(given: Any) -> tuple[str, ...]:
    if isinstance(given, dict):
        try:
            by_id = {int(key): name for key, name in given.items()}
        except (TypeError, ValueError, OverflowError):
            by_id = {}
        if sorted(by_id) == list(range(len(given))):
            given = [by_id[i] for i in range(len(by_id))]
    if not isinstance(given, list) or not given:
        raise AutolabelError(
            "its names are not numbered from 0 without gaps" if given else "it has no names",
            hint="write names: [cat, dog], or names: {0: cat, 1: dog}",
        )
    return tuple(str(name) for name in given)


_READS = base.Carries(scores=True)
_WRITES = base.Carries(masks=True, holes=True)
_SIGNED = base.Signature(
    re.compile(rb"\A(\xef\xbb\xbf)?# written by autolabel"), "the first line of {}"
)
_LOOKS = "a YOLO data.yaml, or images/ + labels/ + classes.txt"
YOLO = base.Format(
    "YOLO",
    base.Reader(find, (".yaml", ".yml"), _LOOKS, _READS),
    base.Writer(
        ("images/", "labels/", "data.yaml"),
        write,
        _WRITES,
        heads=("data.yaml",),
        # Versions of ultralytics do not notice that labels changed.
        caches=("labels/train.cache", "labels/val.cache"),
        signature=_SIGNED,
    ),
)
