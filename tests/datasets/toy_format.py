"""A dataset format in one file, as another package would bring it."""

import json

import numpy as np

from autolabel.datasets.base import Candidate, Carries, Format, Reader, Writer, Written
from autolabel.datasets.files import is_file, located, read_json
from autolabel.datasets.labelled import LabelledImage
from autolabel.errors import AutolabelError
from autolabel.types import Objects


def write(folder, splits, options):
    images = [image for one in splits.values() for image in one]
    rows = {image.path: rows_of(image.record.objects) for image in images}
    data = {"toy": 1, "classes": list(options.names), "images": rows}
    (folder / "toy.json").write_text(json.dumps(data, indent=1), "utf-8")
    return Written(["toy.json"])


def rows_of(objects):
    columns = (objects.label.tolist(), objects.score.tolist(), objects.xyxy.tolist())
    return [[label, score, *box] for label, score, box in zip(*columns, strict=True)]


def find(path):
    file = path / "toy.json" if path.is_dir() else path
    if is_file(file):
        data = read_json(file)
        if isinstance(data, dict) and "toy" in data:
            yield Candidate(file, lambda: read(file, data))


def read(file, data):
    try:
        images = [image_of(name, rows) for name, rows in data["images"].items()]
        return tuple(data["classes"]), [located(i, i.file_name, [file.parent]) for i in images]
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        raise AutolabelError(f"{file} is damaged: {e}", hint="write it anew") from None


def image_of(name, rows):
    boxes = np.array([row[2:] for row in rows], float).reshape(-1, 4)
    objects = Objects.create([row[0] for row in rows], [row[1] for row in rows], boxes)
    return LabelledImage(name, 0, 0, objects, np.zeros(len(rows), bool))


CARRIES = Carries(scores=True)
TOY = Format(
    "Toy",
    Reader(find, (".json",), "a folder with toy.json", CARRIES),
    Writer(("pictures/", "toy.json"), write, CARRIES, images="pictures/{split}"),
)
