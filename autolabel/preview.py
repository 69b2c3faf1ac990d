"""Pictures for people: images with their labels drawn, and sheets of crops with the reasons."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from autolabel.drawing import PALETTE, REJECTED, masks_of, paint, pixels_of
from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.ops.crops import square_crop
from autolabel.ops.files import from_uri
from autolabel.store import Layer, write_atomic
from autolabel.types import Objects, Record

Pixels = npt.NDArray[np.uint8]

CELL, CAPTION, MARGIN = 116, 46, 6
"""Sides of a sheet's cell, of the text under it, and of the space around it, in pixels."""

COLUMNS = 8
CONTEXT = 0.15


@dataclass(frozen=True)
class Drawn:
    """What `preview` wrote: files, and how many labels of each kind they show.

    `unread` is how many images with labels are gone, damaged or no longer the same.
    """

    out: Path
    files: tuple[str, ...]
    kept: int
    rejected: int
    unread: int = 0


@dataclass(frozen=True)
class Crop:
    """One cell of a sheet."""

    pixels: Pixels
    caption: str
    kept: bool


def preview(
    layer: Layer,
    ontology: Ontology,
    source_root: Path,
    out: Path,
    *,
    rejected: bool = False,
    only: str | None = None,
    images: int = 12,
    crops: int = 48,
) -> Drawn:
    """Draw some images with their labels, and for each class a sheet of crops.

    On a sheet the kept labels are at the left and the rejected ones, with their reasons, at the
    right, each by score; of many, so many are taken at even steps.

    Args:
        layer: has labels.
        ontology: its classes, in whose order colours are given.
        source_root: folder that uris are relative to.
        out: folder for the pictures; files of the same names are replaced, others left.
        rejected: whether to show rejected labels only.
        only: the one class to show.
        images: how many images are drawn at most, those with most rejected labels first.
        crops: how many crops of each kind a sheet has at most.

    Raises:
        AutolabelError: the layer has nothing to show, or none of its images can be read.
    """
    shown = [only] if only else list(ontology.names)
    album = _Album(source_root)
    chosen: list[Record] = []
    rows: dict[tuple[str, bool], list[tuple[Record, int]]] = {}
    for record in layer.records():
        record = replace(record, objects=_wanted(record.objects, shown, rejected))
        if not record.usable or not len(record.objects):
            continue
        if not album.has(record):
            continue
        chosen = _most_rejected([*chosen, record], images)
        for i, (label, keep) in enumerate(zip(*_columns(record.objects), strict=True)):
            rows.setdefault((label, keep), []).append((record, i))
    if not rows and album.unread:
        raise AutolabelError(
            f"none of the {len(album.unread)} images can be read",
            hint="if the folder was moved, add --source-root DIR",
        )
    if not rows:
        raise AutolabelError(
            f"{layer.name}/ has no {'rejected ' if rejected else ''}labels to show",
            hint="use --layer with another layer, or leave out --class and --rejected",
        )
    out.mkdir(parents=True, exist_ok=True)
    drawn = [_draw(record, shown, album, out) for record in chosen]
    files = [name for name in drawn if name is not None]
    for name in shown:
        kept, lost = (_sampled(rows.get((name, keep), []), crops) for keep in (True, False))
        if kept or lost:
            counts = [len(rows.get((name, keep), [])) for keep in (True, False)]
            files += _sheet(name, kept, lost, counts, album, out)
    total, left = sum(map(len, rows.values())), sum(len(v) for (_, k), v in rows.items() if k)
    return Drawn(out, tuple(files), left, total - left, len(album.unread))


class _Album:
    """The pictures of records; of one that cannot be read, only that it cannot."""

    def __init__(self, source_root: Path) -> None:
        self.root = source_root
        self.unread: set[str] = set()
        self._kept: dict[str, Pixels] = {}

    def has(self, record: Record) -> bool:
        """Whether the file is there."""
        try:
            there = from_uri(record.uri, self.root).is_file()
        except (OSError, ValueError):
            there = False
        if not there:
            self.unread.add(record.uri)
        return there

    def pixels(self, record: Record) -> Pixels | None:
        """RGB, uint8 (height, width, 3), or None; the last few stay in memory."""
        if record.uri not in self._kept and record.uri not in self.unread:
            try:
                seen = pixels_of(record, self.root)
            except AutolabelError:
                self.unread.add(record.uri)
                return None
            self._kept = {**dict(list(self._kept.items())[-3:]), record.uri: seen}
        return self._kept.get(record.uri)


def _columns(objects: Objects) -> tuple[list[str], list[bool]]:
    return objects.label.tolist(), objects.keep.tolist()


def _wanted(objects: Objects, shown: Sequence[str], rejected: bool) -> Objects:
    mine = np.isin(objects.label.astype(str), shown)
    return objects[mine & ~objects.keep if rejected else mine]


def _most_rejected(records: list[Record], most: int) -> list[Record]:
    """A stable choice, so that earlier images win ties."""
    return sorted(records, key=lambda r: -int((~r.objects.keep).sum()))[:most]


def _sampled(rows: list[tuple[Record, int]], most: int) -> list[tuple[Record, int]]:
    ordered = sorted(rows, key=lambda row: -float(row[0].objects.score[row[1]]))
    if len(ordered) <= most:
        return ordered
    return [ordered[i] for i in np.linspace(0, len(ordered) - 1, most).round().astype(int)]


# -- images -------------------------------------------------------------------------------------


def _draw(record: Record, shown: Sequence[str], album: _Album, out: Path) -> str | None:
    """Kept labels in their class's colour, rejected ones in red with the rule."""
    scene = album.pixels(record)
    if scene is None:
        return None
    size_wh = (record.width, record.height)
    for keep, palette in ((True, PALETTE), (False, (REJECTED,))):
        objects = record.objects[record.objects.keep == keep]
        masks = None
        if all(rle is not None for rle in objects.mask):
            masks = masks_of(objects.mask.tolist(), size_wh, size_wh)
        ids = [shown.index(label) for label in objects.label]
        texts = [_mark(objects, i) for i in range(len(objects))]
        scene = paint(scene, objects.xyxy, ids, palette=palette, masks=masks, texts=texts)
    name = f"image-{_plain(Path(record.uri).stem)}-{record.image_id[:6]}.png"
    return _save(Image.fromarray(scene), out / name)


def _mark(objects: Objects, i: int) -> str:
    if objects.keep[i]:
        return f"{objects.label[i]} {objects.score[i]:.2f}"
    return f"{objects.label[i]}: {(objects.reason[i] or 'rejected').partition(':')[0]}"


# -- sheets -------------------------------------------------------------------------------------


def _sheet(
    name: str,
    kept: list[tuple[Record, int]],
    lost: list[tuple[Record, int]],
    counts: Sequence[int],
    album: _Album,
    out: Path,
) -> list[str]:
    """Kept crops in a block at the left, rejected ones at the right."""
    blocks = [
        (f"{name}: {title}, {len(rows)} of {count}", list(_crops(rows, album)))
        for title, rows, count in (("kept", kept, counts[0]), ("rejected", lost, counts[1]))
        if rows
    ]
    blocks = [(title, crops) for title, crops in blocks if crops]
    if not blocks:
        return []
    columns = COLUMNS if len(blocks) == 2 else 2 * COLUMNS
    drawn = [_block(title, crops, columns) for title, crops in blocks]
    sheet = Image.new("RGB", (sum(b.width for b in drawn), max(b.height for b in drawn)), "white")
    left = 0
    for block in drawn:
        sheet.paste(block, (left, 0))
        left += block.width
    return [_save(sheet, out / f"crops-{_plain(name)}.png")]


def _crops(rows: Iterable[tuple[Record, int]], album: _Album) -> Iterator[Crop]:
    for record, i in rows:
        objects, pixels = record.objects, album.pixels(record)
        if pixels is None:
            continue
        crop = square_crop(pixels, objects.xyxy[i].tolist(), CONTEXT)
        caption = objects.reason[i] or "rejected"
        if objects.keep[i]:
            caption = f"score {objects.score[i]:.2f} {_evidence(objects.scores[i])}"
        yield Crop(crop, caption, bool(objects.keep[i]))


def _evidence(scores: dict[str, float]) -> str:
    names = ("clip", "dinov2", "sam_iou")
    return " ".join(f"{n} {scores[n]:.2f}" for n in names if n in scores)


def _block(title: str, crops: Sequence[Crop], columns: int) -> Image.Image:
    columns = min(columns, max(len(crops), 3))
    lines = -(-len(crops) // columns)
    wide, high = CELL + 2 * MARGIN, CELL + CAPTION + 2 * MARGIN
    block = Image.new("RGB", (columns * wide, lines * high + 26), "white")
    pen = ImageDraw.Draw(block)
    pen.text((MARGIN, 7), title, fill="black", font=_font(14))
    for i, crop in enumerate(crops):
        x, y = (i % columns) * wide + MARGIN, (i // columns) * high + 26
        picture = Image.fromarray(crop.pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)
        block.paste(picture, (x, y))
        colour = PALETTE[1] if crop.kept else REJECTED
        pen.rectangle((x - 2, y - 2, x + CELL + 1, y + CELL + 1), outline=colour, width=2)
        for line, text in enumerate(_wrapped(pen, crop.caption)):
            pen.text((x, y + CELL + 4 + 14 * line), text, fill=colour, font=_font(11))
    return block


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _wrapped(pen: ImageDraw.ImageDraw, text: str) -> list[str]:
    """As much of a text as fits under a cell, in lines."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and pen.textlength(longer, font=_font(11)) <= CELL + MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines[: CAPTION // 14]


# -- shared -------------------------------------------------------------------------------------


def _save(image: Image.Image, path: Path) -> str:
    import io

    sink = io.BytesIO()
    image.save(sink, "PNG")
    write_atomic(path, sink.getvalue())
    return path.name


def _plain(name: str) -> str:
    """A name that every file system takes."""
    return re.sub(r"[^\w.-]+", "_", name)[:60] or "_"
