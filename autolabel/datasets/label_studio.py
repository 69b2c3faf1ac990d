"""Label Studio's tasks, predictions and annotations: https://labelstud.io/guide/tasks.

Written are predictions, which people start from, and the labelling config that their names are of.
Read are people's annotations: of each task the one marked as ground truth, else the newest, and
none that was cancelled. Predictions are read only where a file has no annotation at all.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from autolabel.datasets import base
from autolabel.datasets.files import (
    absolute,
    blamed_on,
    ends,
    is_file,
    located,
    read_file,
    read_json,
    visible,
)
from autolabel.datasets.label_studio_config import (
    BRUSH,
    POLYGON,
    RECTANGLE,
    from_xml,
    labelling_of,
    to_xml,
)
from autolabel.datasets.label_studio_regions import to_objects, to_regions
from autolabel.datasets.label_studio_tasks import Task, tasks_of
from autolabel.datasets.labelled import GroundTruthImage, LabelledImage
from autolabel.errors import AutolabelError
from autolabel.ops.boxes import box_areas
from autolabel.types import Objects

TASKS, CONFIG = "tasks.json", "config.xml"
LOCAL_FILES = "/data/local-files/?d="
"""What Label Studio serves below its document root, `LOCAL_FILES_DOCUMENT_ROOT`."""
_MADE_BY = "labelled by autolabel"
_MODEL = "autolabel"
_LIST = re.compile(rb"\s*\[\s*\{")
_KEYS = (
    (re.compile(rb'"data"\s*:\s*\{'), re.compile(rb'"(annotations|predictions)"\s*:\s*\[')),
    (re.compile(rb'"annotation_id"\s*:'), re.compile(rb'"annotator"\s*:')),
)
"""What tasks with annotations have, and what a JSON-MIN export has."""
_IMAGE_FOLDERS = ("images", "images/train", "images/val", "images/test")


def write(folder: Path, splits: base.Splits, options: base.WriteOptions) -> base.Written:
    """Write the tasks with their predictions, and the labelling config.

    Images are named for a Label Studio whose document root is the dataset's folder. Masks are brush
    masks, with `options.polygons` polygons.
    """
    done = base.Written([TASKS, CONFIG])
    masks = [POLYGON if options.polygons else BRUSH] if options.masks else []
    labelling = labelling_of(options.names, [*masks, RECTANGLE])
    (folder / CONFIG).write_text(to_xml(labelling), "utf-8")
    with (folder / TASKS).open("w", encoding="ascii") as stream:
        stream.write("[")
        for i, (split, image) in enumerate(
            (split, image) for split, images in splits.items() for image in images
        ):
            regions, lost = to_regions(image.record, labelling)
            done.lost.update(lost if options.masks else {})
            stream.write(",\n" if i else "\n")
            json.dump(_task(image, split, regions), stream)
        stream.write("\n]\n")
    return done


def _task(image: base.ExportImage, split: str, regions: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "made_by": _MADE_BY,  # Label Studio passes over it, so that its own exports do not say so
        "data": {"image": LOCAL_FILES + quote(image.path), "split": split},
        "predictions": [prediction(regions, _MODEL)],
    }


def prediction(regions: Sequence[Mapping[str, Any]], model_version: str) -> dict[str, Any]:
    """Return a prediction; its score is the lowest of its regions, by which people can sort."""
    scores = [region["score"] for region in regions]
    scored = {"score": min(scores)} if scores else {}
    return {"model_version": model_version, **scored, "result": list(regions)}


def find(path: Path) -> Iterator[base.Candidate]:
    """Yield a file, or those in a folder that are tasks of Label Studio."""
    folder = path.is_dir()
    for file in visible(path, "*.json") if folder else [path]:
        sure = _is_tasks(file)
        if sure or not folder:
            skipped: Counter[str] = Counter()
            yield base.Candidate(file, partial(_read, file, skipped), sure, skipped=skipped)


def _is_tasks(file: Path) -> bool:
    """Tell by both ends of a file, without parsing it, whether it is a list of tasks."""
    _, head, tail = ends(file)
    if not _LIST.match(head):
        return False
    return any(all(key.search(head) or key.search(tail) for key in keys) for keys in _KEYS)


def _read(file: Path, skipped: Counter[str]) -> base.Labels:
    data = read_json(file)
    here = absolute(file).parent
    folders = [here, *(here / name for name in _IMAGE_FOLDERS)]
    config = here / CONFIG
    labelling = blamed_on(config, lambda: from_xml(read_file(config))) if is_file(config) else None
    field = labelling.field if labelling else None
    tasks = blamed_on(file, lambda: tasks_of(data, field, skipped))
    images = [
        blamed_on(file, partial(_image, task, number, folders, skipped))
        for number, task in enumerate(tasks, 1)
    ]
    used = sorted({str(label) for image in images for label in image.objects.label})
    return tuple(dict.fromkeys([*(labelling.labels if labelling else ()), *used])), images


def _image(
    task: Task, number: int, folders: Sequence[Path], skipped: Counter[str]
) -> GroundTruthImage:
    """Return a task's image with its objects, their size from the file where no region has one."""
    name = task.names[0]
    sizes = (region.size_wh for region in task.regions if all(region.size_wh))
    size = next(sizes, (0, 0))
    bare = LabelledImage(name, *size, Objects.empty(), np.zeros(0, bool))
    image = next(
        (found for one in task.names if (found := located(bare, one, folders)).path), None
    ) or located(bare, name, ())
    try:
        objects = to_objects(task.regions, (image.width, image.height), task.person, skipped)
    except AutolabelError as e:
        raise AutolabelError(f"task {number}: {e.message}", hint=e.hint) from None
    # What lies in a turned view is not read, and so it does not count as deleted either.
    read = not any(region.rotated for region in task.regions)
    ignore = box_areas(objects.xyxy) == 0
    return replace(image, name=name, objects=objects, ignore=ignore, looked_at=read)


_CARRIES = base.Carries(masks=True, holes=True, scores=True)
_READS = replace(_CARRIES, corrections=True)
LABEL_STUDIO = base.Format(
    "Label Studio",
    base.Reader(find, (".json",), "a JSON export of Label Studio", _READS),
    base.Writer(
        ("images/", TASKS, CONFIG),
        write,
        _CARRIES,
        heads=(TASKS,),
        signature=base.Signature(
            re.compile(rb'"made_by"\s*:\s*"labelled by autolabel'), '"made_by" in {}'
        ),
    ),
)
