"""How each format lays a dataset out in its folder."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from autolabel.datasets.coco import dump, to_coco
from autolabel.datasets.yolo import data_yaml, to_yolo_label, to_yolo_outlines
from autolabel.ops.polygons import Part, outlines
from autolabel.types import Record


@dataclass(frozen=True)
class Exportable:
    """One image of the dataset: its labels, and the name that it got."""

    record: Record
    stem: str
    suffix: str


@dataclass(frozen=True)
class Wanted:
    """How labels are written.

    Attributes:
        names: classes in the order of their ids.
        masks: whether masks are, and not boxes alone.
        polygons: whether they are outlines where the format could hold pixels too.
    """

    names: Sequence[str]
    masks: bool
    polygons: bool


@dataclass
class Written:
    """What a writer wrote.

    Attributes:
        files: their paths, relative to the folder.
        lost: what of the labels the files do not hold: how many objects, by what.
    """

    files: list[str] = field(default_factory=list)
    lost: Counter[str] = field(default_factory=Counter)


Splits = Mapping[str, Sequence[Exportable]]
Writer = Callable[[Path, Splits, Wanted], Written]


@dataclass(frozen=True)
class Layout:
    """The names at the top of the dataset's folder, and what writes all of it but the images.

    The writer takes the staging folder, the images by split, and how it is to be done.
    """

    items: tuple[str, ...]
    write: Writer


def _write_coco(staging: Path, splits: Splits, wanted: Wanted) -> Written:
    done = Written()
    (staging / "annotations").mkdir()
    for split, images in splits.items():
        file = f"annotations/instances_{split}.json"
        drawn = _outlined(images) if wanted.masks and wanted.polygons else None
        data = to_coco(
            (i.record for i in images),
            wanted.names,
            [i.stem + i.suffix for i in images],
            masks=wanted.masks,
            outlines=None if drawn is None else _counting_holes(drawn, done.lost),
        )
        with (staging / file).open("w", encoding="ascii") as stream:
            stream.writelines(dump(data))
        done.files.append(file)
    return done


def _outlined(images: Sequence[Exportable]) -> Iterator[list[list[Part]]]:
    """For each image the outlines of each object's mask; none where it has no mask."""
    for image in images:
        record = image.record
        size = record.height, record.width
        yield [[] if rle is None else outlines(rle, *size) for rle in record.objects.mask]


def _counting_holes(
    drawn: Iterator[list[list[Part]]], lost: Counter[str]
) -> Iterator[list[list[Part]]]:
    """The same; COCO's polygons have no holes, so that they are filled."""
    for objects in drawn:
        lost["holes"] += sum(any(part.holes for part in parts) for parts in objects)
        yield objects


def _write_yolo(staging: Path, splits: Splits, wanted: Wanted) -> Written:
    done = Written(["data.yaml"])
    text = data_yaml(wanted.names, val="val" in splits)
    (staging / "data.yaml").write_text(text, "utf-8")
    for split, images in splits.items():
        (staging / "labels" / split).mkdir(parents=True)
        drawn = _outlined(images)
        for image in images:
            record, file = image.record, f"labels/{split}/{image.stem}.txt"
            size_wh = record.width, record.height
            if wanted.masks:
                parts = next(drawn)
                done.lost["seams"] += sum(len(p) > 1 or any(q.holes for q in p) for p in parts)
                done.lost["boxes_as_outlines"] += sum(not p for p in parts)
                label = to_yolo_outlines(record.objects, wanted.names, *size_wh, parts)
            else:
                label = to_yolo_label(record.objects, wanted.names, *size_wh)
            (staging / file).write_text(label, "ascii", newline="\n")
            done.files.append(file)
            done.lost["scores"] += len(record.objects)
    return done


LAYOUTS = {
    "coco": Layout(("images", "annotations"), _write_coco),
    "yolo": Layout(("images", "labels", "data.yaml"), _write_yolo),
}
