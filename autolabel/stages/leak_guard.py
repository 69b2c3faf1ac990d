"""The leak guard over a workspace: every photo is looked at for held-out ones, once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path

from autolabel.config import EngineConfig
from autolabel.datasets.held_out import held_out_photos
from autolabel.engine import local
from autolabel.engine.base import Stage
from autolabel.errors import AutolabelError
from autolabel.ops.images import content_id, read_bytes
from autolabel.stages.present import stamp_of
from autolabel.stages.repeats import GUARD, NEAR_HELD_OUT, Mark
from autolabel.stages.running import Reporter, derive, silent
from autolabel.store import Layer, Manifest, Workspace
from autolabel.types import LEAK

LAYER, OF_TRAINING = ".leaks", ".leaks-train"
"""Hidden layers: what `ingest` and what `train` found of their held-out photos."""


@dataclass(frozen=True)
class HeldOutFiles:
    """The photos that are held out.

    Attributes:
        photos: their files.
        key: equal for files of equal bytes, whatever their names and order; None without photos.
    """

    photos: tuple[Path, ...]
    key: str | None

    @classmethod
    def find(cls, sources: Sequence[str]) -> HeldOutFiles:
        """Find them in files, folders and hand labels.

        Raises:
            AutolabelError: one cannot be read, or there are none.
        """
        photos = tuple(held_out_photos(sources))
        return cls(photos, content_key(photos) if photos else None)


def content_key(paths: Iterable[Path]) -> str:
    """Return what is equal for files of equal bytes, whatever their names and order."""
    return hashlib.sha256("\n".join(sorted(map(_content, paths))).encode()).hexdigest()


def _content(path: Path) -> str:
    try:
        return _content_of(path, tuple(stamp_of(path) or ()))
    except ValueError as e:
        raise AutolabelError(
            f"held-out photo {path} {e}", hint="fix or remove it; the leak guard needs them all"
        ) from e


@lru_cache(maxsize=100_000)
def _content_of(path: Path, stamp: tuple[int, ...]) -> str:
    """Return the id of a file's bytes, read once: checks, ingest and training all ask for it."""
    return content_id(read_bytes(path))


def look(
    workspace: Workspace,
    source: Layer,
    held_out: HeldOutFiles,
    near_bits: int,
    root: Path,
    engine: EngineConfig,
    *,
    name: str = LAYER,
    report: Reporter = silent,
) -> Layer:
    """Look for held-out photos in a layer; only what is new of it is looked at.

    The rows are those of `source`; the `split` of one that is equal to a held-out photo or was made
    from it is `leak`, and the `note` says from which. Of one that is only near, the note does.

    Raises:
        AutolabelError: a held-out photo cannot be read, or the photos are gone.
    """
    settings = {"holdout": held_out.key, "near_bits": near_bits, "method": GUARD}
    manifest = Manifest(stage="leaks", settings=settings)
    make = partial(_stage, held_out.photos, near_bits, engine.workers or local.cores())
    return derive(
        workspace, name, source, manifest, make, root, engine, True, _as_leaks(report), pixels=True
    ).layer


def _stage(photos: Sequence[Path], near_bits: int, workers: int) -> Stage:
    from autolabel.stages.leaks import FindLeaks  # loads OpenCV

    return FindLeaks(photos, near_bits, workers)


def _as_leaks(report: Reporter) -> Reporter:
    return lambda stage, images: report("leaks", images)


def marks(layer: Layer, near_duplicates: str) -> dict[tuple[str, str], Mark]:
    """Return what `look` found, as marks; the key is (uri, image_id).

    Args:
        layer: from `look`.
        near_duplicates: what becomes of photos that are only near: `keep` marks none, `group` puts
            them into the group of the held-out photo, `drop` makes them leaks.
    """
    found: dict[tuple[str, str], Mark] = {}
    for record in layer.records():
        key = record.uri, record.image_id
        if record.error is not None:
            found[key] = Mark(record.split, record.group or record.image_id, None, record.error)
        elif record.split == LEAK:
            found[key] = Mark(LEAK, record.group or record.image_id, record.note)
        elif _is_near(record.note) and near_duplicates != "keep":
            split = LEAK if near_duplicates == "drop" else record.split
            found[key] = Mark(split, record.group or record.image_id, record.note)
    return found


def _is_near(note: str | None) -> bool:
    return note is not None and note.startswith(NEAR_HELD_OUT)


def count_near(layer: Layer) -> int:
    """Count the photos that are near a held-out one, and no leak."""
    notes: Iterator[str | None] = (
        note for i in layer.shards() for note in layer.table(i, ["note"]).column(0).to_pylist()
    )
    return sum(map(_is_near, notes))
