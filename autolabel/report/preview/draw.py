"""The pictures of a preview: an image with its labels, and a class's sheet of crops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from PIL import Image

from autolabel.ops.crops import square_crop
from autolabel.report.pictures.drawing import PALETTE, REJECTED, evidence, masks_of, paint
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.report.pictures.sheets import Crop, sheet
from autolabel.report.preview.selection import Label, sampled
from autolabel.sources import from_uri
from autolabel.types import Objects, Record

CONTEXT = 0.15
"""Share of a box's sides that is shown around it."""


def draw_image(record: Record, classes: Sequence[str], photos: PhotoReader) -> Image.Image | None:
    """Draw kept labels in their class's colour, rejected ones in red with the rule."""
    scene = photos.pixels(record)
    if scene is None:
        return None
    size_wh = (record.width, record.height)
    for keep, palette in ((True, PALETTE), (False, (REJECTED,))):
        objects = record.objects[record.objects.keep == keep]
        masks = None
        if all(rle is not None for rle in objects.mask):
            masks = masks_of(objects.mask.tolist(), size_wh, size_wh)
        ids = [classes.index(label) for label in objects.label]
        texts = [_caption(objects, i) for i in range(len(objects))]
        scene = paint(scene, objects.xyxy, ids, palette=palette, masks=masks, texts=texts)
    return Image.fromarray(scene)


def _caption(objects: Objects, i: int) -> str:
    if objects.keep[i]:
        return f"{objects.label[i]} {objects.score[i]:.2f}"
    return f"{objects.label[i]}: {(objects.reason[i] or 'rejected').partition(':')[0]}"


def draw_sheet(
    name: str, labels: Mapping[tuple[str, bool], Sequence[Label]], most: int, photos: PhotoReader
) -> Image.Image | None:
    """Draw a class's kept crops in a block at the left, rejected ones with reasons at the right.

    Each block goes by score; of many crops, so many are taken at even steps.

    Args:
        name: of the class.
        labels: (class, whether it is kept) -> labels.
        most: how many crops a block has at most.
        photos: of which the crops are parts.
    """
    blocks = []
    for title, keep in (("kept", True), ("rejected", False)):
        mine = labels.get((name, keep), [])
        shown = sampled(mine, most)
        if crops := list(_crops(shown, photos)):
            blocks.append((f"{name}: {title}, {len(shown)} of {len(mine)}", crops))
    return sheet(blocks) if blocks else None


def _crops(labels: Iterable[Label], photos: PhotoReader) -> Iterator[Crop]:
    for record, i in labels:
        objects, pixels = record.objects, photos.pixels(record)
        if pixels is None:
            continue
        crop = square_crop(pixels, objects.xyxy[i].tolist(), CONTEXT)
        caption = objects.reason[i] or "rejected"
        if objects.keep[i]:
            caption = " ".join([f"score {objects.score[i]:.2f}", *evidence(objects.scores[i])])
        photo = from_uri(record.uri, Path("/")).name
        yield Crop(crop, photo, caption, bool(objects.keep[i]))
