"""YOLO labels, boxes or outlines, and ``data.yaml``, as ultralytics reads them.

https://docs.ultralytics.com/datasets/detect/ and https://docs.ultralytics.com/datasets/segment/
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from autolabel.datasets import base, files
from autolabel.datasets.labelled import GroundTruthImage, loose_boxes
from autolabel.datasets.yolo_labels import from_yolo_label, to_yolo_label, to_yolo_outlines
from autolabel.datasets.yolo_yaml import SPLITS, DataYaml, data_yaml, from_data_yaml
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id
from autolabel.ops.polygons import Part, outlines
from autolabel.sources import find_images
from autolabel.types import Record

_LARGEST = 2**26  # bytes of a label file; 10,000 outlines of 300 points take 50 MB
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write ``data.yaml``, and one label file for each image."""
    done = base.Written(["data.yaml"])
    (folder / "data.yaml").write_text(data_yaml(options.names, splits), "utf-8")
    for split, images in splits.items():
        (folder / "labels" / split).mkdir(parents=True)
        for image in images:
            record, file = image.record, f"labels/{split}/{image.stem}.txt"
            size_wh = record.width, record.height
            if options.masks:
                parts = _outlined(record, done.lost)
                label = to_yolo_outlines(record.objects, options.names, *size_wh, parts)
            else:
                label = to_yolo_label(record.objects, options.names, *size_wh)
            (folder / file).write_text(label, "ascii", newline="\n")
            done.files.append(file)
    return done


def _outlined(record: Record, lost: Counter[str]) -> list[list[Part]]:
    """Return the outlines of the mask of each kept object; `lost` counts what they do not hold."""
    kept, size_hw = record.objects.kept, (record.height, record.width)
    parts = [[] if mask is None else outlines(mask, *size_hw) for mask in kept.mask]
    lost["boxes"] += loose_boxes(kept, *size_hw)
    lost["seams"] += sum(len(p) > 1 or any(q.holes for q in p) for p in parts)
    lost["boxes_as_outlines"] += sum(not p for p in parts)
    return parts


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
    splits = [s for s in SPLITS if s in described.splits]
    if not splits:
        raise AutolabelError(
            f"{file} names no images", hint="add val: with the folder of the images"
        )
    images: dict[Path, None] = {}  # splits may share images
    for split in splits[: 1 if one_split else None]:
        for entry in described.splits[split]:
            if split == "test" and len(splits) > 1 and not _places(file, described, entry):
                continue  # Roboflow and ultralytics name one that need not be there
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
    """Return the images of one entry of a split: a folder, or a list with one path a line."""
    fence = files.absolute(file.parent.parent)
    existing = _places(file, described, entry)
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


def _places(file: Path, described: DataYaml, entry: str) -> list[Path]:
    """Return where an entry of a split may lie, as far as there is anything.

    The folder of the data.yaml comes before its `path`, which may still name where the dataset
    was copied from. Roboflow writes ``../valid/images`` for what lies in ``valid/images``.
    """
    bases = [file.parent, *([file.parent / described.path] if described.path else [])]
    entries = (entry, entry.removeprefix("../"))
    tried = [files.absolute(folder / one) for folder in bases for one in entries]
    return [path for path in tried if files.is_there(path)]


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
    labelled = files.is_file(label)
    text = files.read_text(label, _LARGEST) if labelled else ""
    objects = files.blamed_on(label, lambda: from_yolo_label(text, names, width, height))
    ignore = (objects.xyxy[:, 2:] == objects.xyxy[:, :2]).any(axis=1)
    return GroundTruthImage(
        path.name, path, content_id(data), width, height, objects, ignore, looked_at=labelled
    )


_READS = base.Carries(masks=True, holes=True, scores=True)
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
        caches=("labels/train.cache", "labels/val.cache", "labels/test.cache"),
        signature=_SIGNED,
    ),
)
