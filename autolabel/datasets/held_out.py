"""Which photos a person means by a file or folder of hand labels, or of photos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from autolabel.datasets.formats import label_suffixes
from autolabel.datasets.ground_truth import read_ground_truth
from autolabel.errors import AutolabelError
from autolabel.sources import find_images


def held_out_photos(sources: Sequence[str]) -> list[Path]:
    """Return the photos that are held out.

    Args:
        sources: whatever `find_images` takes, and whatever `read_ground_truth` does. Of a folder,
            all photos in it count, and those that its labels name.

    Raises:
        AutolabelError: a source does not exist or cannot be read, holds no photo, or names one that
            is not there.
    """
    photos: dict[Path, None] = {}
    labels = label_suffixes()
    for source in sources:
        path = Path(source)
        if path.suffix.lower() in labels and path.is_file():
            photos.update(dict.fromkeys(_labelled(path)))
        elif path.is_dir():
            photos.update(dict.fromkeys(_of_folder(path)))
        else:
            photos.update(dict.fromkeys(find_images([source]).paths))
    return list(photos)


def _of_folder(folder: Path) -> list[Path]:
    try:
        inside = find_images([str(folder)]).paths
    except AutolabelError as e:
        try:  # labels alone, as in the Annotations/ of VOC
            return _labelled(folder)
        except AutolabelError as no_labels:
            raise e from no_labels
    labels = label_suffixes()
    if all(p.suffix.lower() not in labels for p in folder.rglob("*") if p.is_file()):
        return inside
    try:
        return [*inside, *_labelled(folder)]
    except AutolabelError:
        return inside  # labels of several kinds, say; the photos are what counts


def _labelled(path: Path) -> list[Path]:
    images = read_ground_truth(path).records
    for image in images:
        if image.path is None:
            raise AutolabelError(
                f"{path} names {image.name}, which is not there",
                hint="put the photo back or take its labels away: what is held out must be seen",
            )
    return [image.path for image in images if image.path is not None]
