"""Pictures for people: images with their labels drawn, and sheets of crops with the reasons."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.ops.crops import square_crop
from autolabel.report.pictures.drawing import PALETTE, REJECTED, masks_of, paint, pixels_of
from autolabel.report.pictures.sheets import Crop, sheet
from autolabel.report.preview.folder import Pictures, image_file, sheet_files
from autolabel.sources import from_uri
from autolabel.store import Layer, not_writable
from autolabel.types import Objects, Record

Pixels = npt.NDArray[np.uint8]

CONTEXT = 0.15


@dataclass(frozen=True)
class PreviewResult:
    """What `preview` wrote: files, and how many labels of each kind they show.

    `unread` is how many images with labels are gone, damaged or no longer the same.
    """

    out: Path
    files: tuple[str, ...]
    kept: int
    rejected: int
    unread: int = 0


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
) -> PreviewResult:
    """Draw some images with their labels, and for each class a sheet of crops.

    On a sheet the kept labels are at the left and the rejected ones, with their reasons, at the
    right, each by score; of many, so many are taken at even steps.

    Args:
        layer: has labels.
        ontology: its classes, in whose order colours are given.
        source_root: folder that uris are relative to.
        out: folder for the pictures; those of an earlier preview go, files of the same names are
            replaced, others stay.
        rejected: whether to show rejected labels only.
        only: the one class to show.
        images: how many images are drawn at most, those with most rejected labels first.
        crops: how many crops of each kind a sheet has at most.

    Raises:
        AutolabelError: the layer has nothing to show, none of its images can be read, or `out` is
            no folder or cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise AutolabelError(f"{out} is not a folder", hint="name another one with --out")
    shown = [only] if only else list(ontology.names)
    budget = _Album(source_root)
    chosen: list[Record] = []
    rows: dict[tuple[str, bool], list[tuple[Record, int]]] = {}
    for record in layer.records():
        record = replace(record, objects=_wanted(record.objects, shown, rejected))
        if not record.usable or not len(record.objects):
            continue
        if not budget.has(record):
            continue
        chosen = _most_rejected([*chosen, record], images)
        for i, (label, keep) in enumerate(zip(*_columns(record.objects), strict=True)):
            rows.setdefault((label, keep), []).append((record, i))
    if not rows and budget.unread:
        raise AutolabelError(
            f"none of the {len(budget.unread)} images can be read",
            hint="if the folder was moved, add --source-root DIR",
        )
    if not rows:
        raise AutolabelError(
            f"{layer.name}/ has no {'rejected ' if rejected else ''}labels to show",
            hint="use --layer with another layer, or leave out --class and --rejected",
        )
    try:
        with Pictures(out) as pictures:
            for record in chosen:
                pictures.save(image_file(record.uri, record.image_id), _draw(record, shown, budget))
            for name, file in sheet_files(ontology.names).items():
                kept, lost = (_sampled(rows.get((name, keep), []), crops) for keep in (True, False))
                counts = [len(rows.get((name, keep), [])) for keep in (True, False)]
                pictures.save(file, _sheet(name, kept, lost, counts, budget))
    except OSError as e:
        raise not_writable(out, e) from e
    total, left = sum(map(len, rows.values())), sum(len(v) for (_, k), v in rows.items() if k)
    return PreviewResult(out, tuple(pictures.files), left, total - left, len(budget.unread))


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


def _draw(record: Record, shown: Sequence[str], budget: _Album) -> Image.Image | None:
    """Kept labels in their class's colour, rejected ones in red with the rule."""
    scene = budget.pixels(record)
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
    return Image.fromarray(scene)


def _mark(objects: Objects, i: int) -> str:
    if objects.keep[i]:
        return f"{objects.label[i]} {objects.score[i]:.2f}"
    return f"{objects.label[i]}: {(objects.reason[i] or 'rejected').partition(':')[0]}"


def _sheet(
    name: str,
    kept: list[tuple[Record, int]],
    lost: list[tuple[Record, int]],
    counts: Sequence[int],
    budget: _Album,
) -> Image.Image | None:
    """Kept crops in a block at the left, rejected ones at the right."""
    blocks = [
        (f"{name}: {title}, {len(rows)} of {count}", list(_crops(rows, budget)))
        for title, rows, count in (("kept", kept, counts[0]), ("rejected", lost, counts[1]))
        if rows
    ]
    blocks = [(title, crops) for title, crops in blocks if crops]
    return sheet(blocks) if blocks else None


def _crops(rows: Iterable[tuple[Record, int]], budget: _Album) -> Iterator[Crop]:
    for record, i in rows:
        objects, pixels = record.objects, budget.pixels(record)
        if pixels is None:
            continue
        crop = square_crop(pixels, objects.xyxy[i].tolist(), CONTEXT)
        caption = objects.reason[i] or "rejected"
        if objects.keep[i]:
            caption = f"score {objects.score[i]:.2f} {_evidence(objects.scores[i])}"
        photo = from_uri(record.uri, Path("/")).name
        yield Crop(crop, photo, caption, bool(objects.keep[i]))


def _evidence(scores: dict[str, float]) -> str:
    names = ("clip", "dinov2", "sam_iou")
    return " ".join(f"{n} {scores[n]:.2f}" for n in names if n in scores)
