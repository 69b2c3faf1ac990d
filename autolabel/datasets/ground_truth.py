"""Hand labels from disk, in any format that people have them in.

Labels are read as they are written, and nothing outside the dataset's folder is opened, whatever
path a file gives.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autolabel.datasets.coco import LISTS, from_coco
from autolabel.datasets.hand_labelled import (
    GroundTruthImage,
    Labels,
    absolute,
    blamed_on,
    is_there,
    located,
    read_file,
    read_json,
    visible,
)
from autolabel.datasets.own_labels import refuse_own_export
from autolabel.datasets.voc import from_voc
from autolabel.datasets.yolo_folder import yolo_bare, yolo_yaml
from autolabel.errors import AutolabelError
from autolabel.ops.images import IMAGE_SUFFIXES
from autolabel.types import Objects

__all__ = ["GroundTruth", "GroundTruthImage", "read_ground_truth", "read_hand_labels"]

_LAYOUTS = (
    "it may be a COCO JSON file or a folder with one; a YOLO data.yaml, or images/ + labels/ + "
    "classes.txt; or a folder of VOC .xml files"
)
_COCO_FOLDERS = ("", "images", "images/train", "images/val", "images/test")
_VOC_FOLDERS = ("JPEGImages", "images", "")
_YAML_NAMES = ("data.yaml", "data.yml", "dataset.yaml", "dataset.yml")


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """Hand labels: the classes that people looked for, and the images that they looked at.

    Attributes:
        names: classes in the order of their ids.
        records: the images, none twice.
        path: what was named.
        source: the file, or folder of files, that they were read from.
        repeated: how many more times images were listed; see `read_ground_truth`.
    """

    names: tuple[str, ...]
    records: tuple[GroundTruthImage, ...]
    path: Path
    source: Path
    repeated: int = 0


def read_hand_labels(path: Path) -> GroundTruth:
    """Read labels that people drew; an export of autolabel is refused.

    Raises:
        AutolabelError: as `read_ground_truth`, or autolabel wrote these labels.
    """
    truth = read_ground_truth(path)
    refuse_own_export(truth.source, path)
    return truth


def read_ground_truth(path: Path) -> GroundTruth:
    """Read hand labels.

    `path` is one of

    - a COCO JSON file, or a folder with just one (in itself, in ``annotations/``, or as
      ``_annotations.coco.json`` in a folder of it);
    - a YOLO ``data.yaml``, of which the first of the splits val, test and train is read;
    - a folder with a ``data.yaml``, of which all splits are read, or with ``classes.txt`` and
      ``images/`` + ``labels/`` (or images and labels side by side). An image without a label file
      is background, as it is for trainers;
    - a folder of VOC ``.xml`` files, or one with such a folder (``Annotations/``) and its images
      in ``JPEGImages/`` or ``images/`` beside it.

    An image that is listed more than once counts once, with the labels of all its entries, equal
    ones once.

    Raises:
        AutolabelError: none of these, more than one of these, or something in it is wrong.
    """
    if not is_there(path):
        raise AutolabelError(f"no such file or folder: {path}", hint=_LAYOUTS)
    readers = _readers(path) if path.is_dir() else _reader_of_file(path)
    if not readers:
        raise AutolabelError(f"no hand labels found in {path}", hint=_LAYOUTS)
    if len(readers) > 1:
        listed = ", ".join(str(p) for p in list(readers)[:5]) + ("…" if len(readers) > 5 else "")
        raise AutolabelError(
            f"{path} holds more than one set of labels: {listed}", hint="name the one to use"
        )
    ((source, reader),) = readers.items()
    names, images = reader()
    if not images:
        raise AutolabelError(f"the hand labels in {path} name no image", hint=_LAYOUTS)
    once = _once(images)
    return GroundTruth(names, once, path, source, repeated=len(images) - len(once))


def _once(images: Sequence[GroundTruthImage]) -> tuple[GroundTruthImage, ...]:
    """Each image once, in the order of their first entries."""
    entries: dict[Path | str, list[GroundTruthImage]] = {}
    for image in images:
        entries.setdefault(image.path or image.name, []).append(image)
    return tuple(_merged(same) for same in entries.values())


def _merged(entries: Sequence[GroundTruthImage]) -> GroundTruthImage:
    """One entry with the labels of all."""
    if len(entries) == 1:
        return entries[0]
    rows: dict[tuple[Any, ...], tuple[GroundTruthImage, int]] = {}
    for entry in entries:
        for i, (label, box) in enumerate(
            zip(entry.objects.label, entry.objects.xyxy.tolist(), strict=True)
        ):
            rows.setdefault((label, *box, entry.objects.mask[i]), (entry, i))
    picked = [(entry.objects, i) for entry, i in rows.values()]
    objects = Objects.create(
        [o.label[i] for o, i in picked],
        [o.score[i] for o, i in picked],
        [o.xyxy[i] for o, i in picked],
        mask=[o.mask[i] for o, i in picked],
    )
    return replace(
        entries[0], objects=objects, ignore=np.array([e.ignore[i] for e, i in rows.values()], bool)
    )


Reader = Callable[[], Labels]


def _reader_of_file(path: Path) -> dict[Path, Reader]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        return {path: partial(_coco, path, read_json(path))}
    if suffix in (".yaml", ".yml"):
        return {path: partial(yolo_yaml, path, one_split=True)}
    if suffix == ".xml":
        return {path: partial(_voc, [path])}
    return {}


def _readers(folder: Path) -> dict[Path, Reader]:
    """Every way to read the folder, by the file or folder that would be read."""
    found: dict[Path, Reader] = {}
    for pattern in ("*.json", "annotations/*.json", "*/_annotations.coco.json"):
        for file in visible(folder, pattern):
            data = read_json(file)
            if isinstance(data, dict) and all(isinstance(data.get(key), list) for key in LISTS):
                found[file] = partial(_coco, file, data)
    yamls = [folder / name for name in _YAML_NAMES if (folder / name).is_file()]
    found |= {file: partial(yolo_yaml, file, one_split=False) for file in yamls}
    if not yamls:
        names = [folder / "classes.txt", folder / "labels" / "classes.txt"]
        found |= {f: partial(yolo_bare, folder, f) for f in names if f.is_file()}
        if not found and (folder / "labels").is_dir():
            raise AutolabelError(
                f"{folder} has labels/ but nothing that names the classes",
                hint=f"write {folder / 'classes.txt'} with one name a line, or a data.yaml",
            )
    for where in (folder, *sorted(p for p in folder.iterdir() if p.is_dir())):
        if files := list(visible(where, "*.xml")):
            found[where] = partial(_voc, files)
    return found


# -- COCO -------------------------------------------------------------------------------------


def _coco(file: Path, data: Any) -> Labels:
    names, images = blamed_on(file, lambda: from_coco(data))
    here = absolute(file).parent
    root = here.parent if here.name == "annotations" else here
    split = file.stem.removeprefix("instances_")
    below = (*_COCO_FOLDERS, f"images/{split}", split, f"{split}/images")
    folders = [here, *(root / name for name in below)]
    return names, [located(image, image.file_name, folders) for image in images]


# -- VOC --------------------------------------------------------------------------------------


def _voc(files: Sequence[Path]) -> Labels:
    here = absolute(files[0]).parent
    folders = [here, *(here / name for name in _VOC_FOLDERS[:-1])]
    folders += [here.parent / name for name in _VOC_FOLDERS]
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
