"""How each format lays a dataset out in its folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autolabel.formats.coco import dump, to_coco
from autolabel.formats.yolo import data_yaml, to_yolo_label
from autolabel.types import Record


@dataclass(frozen=True)
class Exportable:
    """One image of the dataset: its labels, and the name that it got."""

    record: Record
    stem: str
    suffix: str


Splits = Mapping[str, Sequence[Exportable]]
Writer = Callable[[Path, Path, Sequence[str], Splits], list[str]]


@dataclass(frozen=True)
class Layout:
    """The names at the top of the dataset's folder, and what writes all of it but the images.

    The writer takes the staging folder, the final one, the classes and the images by split, and
    returns the paths that it wrote, relative to the folder.
    """

    items: tuple[str, ...]
    write: Writer


def _write_coco(staging: Path, _: Path, names: Sequence[str], splits: Splits) -> list[str]:
    files = []
    (staging / "annotations").mkdir()
    for split, images in splits.items():
        file = f"annotations/instances_{split}.json"
        data = to_coco((i.record for i in images), names, [i.stem + i.suffix for i in images])
        with (staging / file).open("w", encoding="ascii") as stream:
            stream.writelines(dump(data))
        files.append(file)
    return files


def _write_yolo(staging: Path, out: Path, names: Sequence[str], splits: Splits) -> list[str]:
    files = ["data.yaml"]
    text = data_yaml(names, val="val" in splits)
    (staging / "data.yaml").write_text(text, "utf-8")
    for split, images in splits.items():
        (staging / "labels" / split).mkdir(parents=True)
        for image in images:
            record, file = image.record, f"labels/{split}/{image.stem}.txt"
            label = to_yolo_label(record.objects, names, record.width, record.height)
            (staging / file).write_text(label, "ascii", newline="\n")
            files.append(file)
    return files


LAYOUTS = {
    "coco": Layout(("images", "annotations"), _write_coco),
    "yolo": Layout(("images", "labels", "data.yaml"), _write_yolo),
}
