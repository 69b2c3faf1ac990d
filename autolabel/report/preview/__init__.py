"""Pictures for people: images with their labels drawn, and sheets of crops with the reasons."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.ontology import Ontology
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.report.preview.draw import draw_image, draw_sheet
from autolabel.report.preview.folder import image_file, save_pictures, sheet_files
from autolabel.report.preview.selection import select_labels
from autolabel.store import Layer

__all__ = ["PreviewResult", "preview"]


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

    Args:
        layer: has labels.
        ontology: its classes, in whose order colours are given.
        source_root: folder that uris are relative to.
        out: folder for the pictures, which replace those of an earlier preview.
        rejected: whether to show only rejected labels.
        only: the one class to show.
        images: how many images are drawn at most, those with most rejected labels first.
        crops: how many crops of each kind a sheet has at most.

    Raises:
        AutolabelError: there is nothing to show, no image can be read, or `out` cannot be written.
    """
    if out.exists() and not out.is_dir():
        raise AutolabelError(f"{out} is not a folder", hint="name another one with --out")
    classes = [only] if only else list(ontology.names)
    photos = PhotoReader(source_root)
    shown = select_labels(layer, photos, classes, rejected=rejected, images=images)
    if not shown.labels:
        raise _nothing(layer, photos, rejected)
    pictures = {image_file(r): partial(draw_image, r, classes, photos) for r in shown.images}
    for name, file in sheet_files(ontology.names).items():
        pictures[file] = partial(draw_sheet, name, shown.labels, crops, photos)
    files = save_pictures(out, pictures)
    return PreviewResult(out, files, shown.kept, shown.rejected, len(photos.gone))


def _nothing(layer: Layer, photos: PhotoReader, rejected: bool) -> AutolabelError:
    if photos.gone:
        return AutolabelError(
            f"none of the {len(photos.gone)} images can be read",
            hint="if the folder was moved, add --source-root DIR",
        )
    return AutolabelError(
        f"{layer.name}/ has no {'rejected ' if rejected else ''}labels to show",
        hint="use --layer with another layer, or leave out --class and --rejected",
    )
