"""COCO files: one a split, results lists beside one, and what Roboflow makes of them.

https://cocodataset.org/#format-data and, of results, https://cocodataset.org/#format-results
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from autolabel.datasets import base
from autolabel.datasets.coco_json import dump, from_coco, to_coco
from autolabel.datasets.files import (
    absolute,
    blamed_on,
    chunks,
    ends,
    first_file,
    located,
    read_image,
    read_json,
    visible,
)
from autolabel.datasets.one_set import merged, one_set
from autolabel.errors import AutolabelError
from autolabel.reading import LARGEST_JSON

_FILES = ("*.json", "annotations/*.json", "*/_annotations.coco.json")
_IMAGE_FOLDERS = ("", "images", "images/train", "images/val", "images/test")
_LIST = re.compile(rb'"(images|annotations|categories)"\s*:\s*\[')
_RESULT = re.compile(rb'\A\s*\[\s*\{(?=.*"image_id"\s*:)(?=.*"category_id"\s*:)', re.DOTALL)
_OBJECT = re.compile(rb"\s*\{")


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write one file of annotations for each split."""
    done = base.Written()
    (folder / "annotations").mkdir()
    for split, images in splits.items():
        file = f"annotations/instances_{split}.json"
        data = to_coco(
            (image.record for image in images),
            options.names,
            [image.file_name for image in images],
            masks=options.masks,
            polygons=options.polygons,
            lost=done.lost,
        )
        with (folder / file).open("w", encoding="ascii") as stream:
            stream.writelines(dump(data))
        done.files.append(file)
    return done


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or those in a folder that are COCO; files of several splits are one set.

    A results list is read where it is named itself, never for a folder: it is what a model found,
    and the file beside it is what people drew.
    """
    skipped: Counter[str] = Counter()
    if not path.is_dir():
        results = _is_results(path)
        read = partial(_read_results if results else _read, path, skipped)
        yield base.Candidate(path, read, results or _is_coco(path), skipped=skipped)
        return
    lists = {file: _lists(file) for pattern in _FILES for file in visible(path, pattern)}
    for files in one_set((file for file, count in lists.items() if count == 3), path):
        source, read = files[0] if len(files) == 1 else path, partial(_read_all, files, skipped)
        yield base.Candidate(source, read, skipped=skipped, files=tuple(files))
    for file in (file for file, count in lists.items() if count == 2):  # cut short, say
        yield base.Candidate(file, partial(_read, file, skipped), sure=False, skipped=skipped)


def _is_coco(file: Path) -> bool:
    return _lists(file) == 3


def _lists(file: Path) -> int:
    """Count by its text, without parsing it, how many of the three lists of COCO a file holds.

    Both ends come first: folders hold many and large JSON files of other kinds.
    """
    size, head, tail = ends(file)
    if not _OBJECT.match(head) or not _LIST.search(head + b"\n" + tail):
        return 0
    if size > LARGEST_JSON:
        return 3  # whoever reads it says that it is too large
    lists: set[bytes] = set()
    for chunk in chunks(file):
        lists.update(_LIST.findall(chunk))
        if len(lists) == 3:
            break
    return len(lists)


def _is_results(file: Path) -> bool:
    return bool(_RESULT.match(ends(file)[1]))


def _read_all(files: Sequence[Path], skipped: Counter[str]) -> base.Labels:
    return merged(_read(file, skipped) for file in files)


def _read(file: Path, skipped: Counter[str]) -> base.Labels:
    return _labels(file, read_json(file), skipped)


def _read_results(file: Path, skipped: Counter[str]) -> base.Labels:
    """Read a results list with the images and categories of the COCO file beside it."""
    folders = (file.parent, file.parent / "annotations")
    found = [one for folder in folders for one in visible(folder, "*.json") if _is_coco(one)]
    if len(found) != 1:
        listed = ", ".join(map(str, found[:3])) or "none is there"
        raise AutolabelError(
            f"{file} is a list of results, which takes one COCO file beside it: {listed}",
            hint="put it into a folder with the one file of the images and categories it is of",
        )
    described = read_json(found[0])
    data = {**described, "annotations": read_json(file)} if isinstance(described, dict) else None
    return _labels(file, data, skipped)


def _labels(file: Path, data: Any, skipped: Counter[str]) -> base.Labels:
    here = absolute(file).parent
    root = here.parent if here.name == "annotations" else here
    split = file.stem.removeprefix("instances_")
    below = (*_IMAGE_FOLDERS, f"images/{split}", split, f"{split}/images")
    folders = [here, *(root / name for name in below)]
    _add_sizes(data, folders)
    names, images = blamed_on(file, lambda: from_coco(data, skipped))
    return names, [located(image, image.file_name, folders) for image in images]


def _add_sizes(data: Any, folders: Sequence[Path]) -> None:
    """Write into the entries of images without a size what the images themselves have."""
    images = data.get("images") if isinstance(data, dict) else None
    for image in images if isinstance(images, list) else ():
        if isinstance(image, dict) and not (image.get("width") and image.get("height")):
            path = first_file(str(image.get("file_name", "")), folders)
            if path is not None:
                _, image["width"], image["height"] = read_image(path)


_CARRIES = base.Carries(masks=True, holes=True, scores=True)
_SIGNED = base.Signature(re.compile(rb'"description"\s*:\s*"labelled by autolabel'), '"info" in {}')
COCO = base.Format(
    "COCO JSON",
    base.Reader(find, (".json",), "a COCO JSON file or a folder with one", _CARRIES),
    base.Writer(
        ("images/", "annotations/"), write, _CARRIES, heads=("annotations/",), signature=_SIGNED
    ),
)
