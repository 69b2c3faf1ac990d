"""YOLO datasets: a ``data.yaml``, or just images, labels and ``classes.txt``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autolabel.datasets.hand_labelled import (
    GroundTruthImage,
    Labels,
    absolute,
    blamed_on,
    is_file,
    is_there,
    read_image,
    read_text,
    visible,
)
from autolabel.datasets.yolo import DataYaml, from_data_yaml, from_yolo_label
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id
from autolabel.sources import find_images


def yolo_yaml(file: Path, *, one_split: bool) -> Labels:
    described = blamed_on(file, lambda: from_data_yaml(read_text(file)))
    splits = [s for s in ("val", "test", "train") if s in described.splits]
    if not splits:
        raise AutolabelError(
            f"{file} names no images", hint="add val: with the folder of the images"
        )
    images: dict[Path, None] = {}  # splits may share images
    for split in splits[: 1 if one_split else None]:
        for entry in described.splits[split]:
            images.update(dict.fromkeys(_split_images(file, described, entry)))
    fence = absolute(file.parent.parent)
    return described.names, _yolo_images(list(images), described.names, fence, file)


def yolo_bare(folder: Path, names_file: Path) -> Labels:
    names = tuple(line.strip() for line in read_text(names_file).splitlines() if line.strip())
    images = folder / "images"
    found = find_images([str(images if images.is_dir() else folder)]).paths
    return names, _yolo_images(found, names, absolute(folder), names_file)


def _split_images(file: Path, described: DataYaml, entry: str) -> list[Path]:
    """The images of one entry of a split: a folder, or a list with one path a line.

    The folder of the data.yaml comes before its `path`, which may still name where the dataset
    was copied from. Roboflow writes ``../valid/images`` for what lies in ``valid/images``.
    """
    fence = absolute(file.parent.parent)
    bases = [file.parent, *([file.parent / described.path] if described.path else [])]
    tried = [absolute(base / one) for base in bases for one in (entry, entry.removeprefix("../"))]
    existing = [path for path in tried if is_there(path)]
    inside = [path for path in existing if path.is_relative_to(fence)]
    if not inside:
        raise AutolabelError(
            f"{file} names {entry}, which is {'outside its folder' if existing else 'not there'}",
            hint="put data.yaml into the dataset's own folder, or mend its path:",
        )
    if inside[0].is_dir():
        return find_images([str(inside[0])]).paths
    listed = [Path(line.strip()) for line in read_text(inside[0]).splitlines() if line.strip()]
    paths = [absolute(inside[0].parent / line) for line in listed]
    return [path for path in paths if path.is_relative_to(fence)]


def _yolo_images(
    paths: Sequence[Path], names: Sequence[str], fence: Path, described: Path
) -> list[GroundTruthImage]:
    labels = [_label_file(path, fence) for path in paths]
    if not any(is_file(label) for label in labels):
        raise AutolabelError(
            f"none of the {len(paths)} images of {described} has a label file",
            hint=f"the labels of {paths[0]} would be in {labels[0]}"
            if paths
            else "put images into it",
        )
    folders = {label.parent for label in labels if "labels" in label.parts}
    lone = {p for f in folders for p in visible(f, "*.txt")} - {*labels, described}
    if lone := {p for p in lone if p.name != "classes.txt"}:
        raise AutolabelError(
            f"{len(lone)} label files have no image, {min(lone)} for one",
            hint="put the images beside the others, or take the label files away",
        )
    return [_yolo_image(*pair, names) for pair in zip(paths, labels, strict=True)]


def _label_file(image: Path, fence: Path) -> Path:
    """Where the labels of an image lie: the last ``/images/`` of its path becomes ``/labels/``."""
    below = list(image.relative_to(fence).parts)
    folders = [i for i, part in enumerate(below[:-1]) if part == "images"]
    if folders:
        below[folders[-1]] = "labels"
    return fence.joinpath(*below).with_suffix(".txt")


def _yolo_image(path: Path, label: Path, names: Sequence[str]) -> GroundTruthImage:
    data, width, height = read_image(path)
    text = read_text(label) if is_file(label) else ""
    objects = blamed_on(label, lambda: from_yolo_label(text, names, width, height))
    ignore = (objects.xyxy[:, 2:] == objects.xyxy[:, :2]).any(axis=1)
    return GroundTruthImage(path.name, path, content_id(data), width, height, objects, ignore)
