"""Scan: look at every file once, for its id, size and perceptual hash; the layer `scan`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

from autolabel.config import EngineConfig, IngestConfig
from autolabel.engine import local
from autolabel.engine.base import Task
from autolabel.engine.pixels import Watch
from autolabel.errors import UsageError
from autolabel.ops.arrays import Pixels
from autolabel.ops.hashes import dihedral_hashes, phash
from autolabel.ops.images import ImageError, content_id, decoded, read_bytes
from autolabel.sources import common_root, find_images, from_uri, to_uri
from autolabel.stages.present import KnownPhotos, stamp_of
from autolabel.stages.running import Reporter, run_stage
from autolabel.store import Layer, Manifest, Workspace
from autolabel.store.validate import outside
from autolabel.types import Record

MOST_RETOLD = 20
"""Sources that the manifest keeps, to name the command that goes on."""


class Scan:
    """Read every file: its id, size and perceptual hash, or why it cannot be used.

    Args:
        source_root: folder that the records' uris are relative to.
    """

    def __init__(self, source_root: Path) -> None:
        self.source_root = source_root
        self.watch = Watch(source_root)

    def wants(self, record: Record) -> bool:
        """Want every record."""
        return True

    def prepare(self, record: Record) -> Record:
        """Fill in what the file says; a file that cannot be used keeps its row, with `error`.

        `group` is the record's own id until `MarkRepeats`. A file whose very bytes cannot be read
        gets an id from its uri.
        """
        seen = self._look(record)[0]
        self.watch.seen(seen.error)
        return seen

    def stamp(self, record: Record) -> list[int]:
        """Return the file's `stamp_of`; nothing where it is gone."""
        return stamp_of(from_uri(record.uri, self.source_root)) or []

    def held_out(self, record: Record) -> list[Record]:
        """Return the record of a held-out photo, then seven more that differ in `phash` alone.

        They stand for the photo turned and mirrored, for the holdout of `find_repeats`. A photo
        that cannot be read gives one record, with `error`.
        """
        seen, pixels = self._look(record)
        if pixels is None:
            return [seen]
        return [replace(seen, phash=turned) for turned in dihedral_hashes(pixels)]

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        return list(batch)

    def _look(self, record: Record) -> tuple[Record, Pixels | None]:
        image_id = content_id(b"unreadable:" + record.uri.encode())
        try:
            data = read_bytes(from_uri(record.uri, self.source_root))
            image_id = content_id(data)
            with decoded(data) as pixels:
                height, width = pixels.shape[:2]
                size = {"width": width, "height": height}
                looks = phash(pixels)
            seen = replace(record, image_id=image_id, group=image_id, phash=looks, **size)
        except (ImageError, MemoryError) as e:
            failed = replace(record, image_id=image_id, group=image_id)
            return failed.failed(str(e) or "not enough memory to read it"), None
        return seen, pixels


def scan(
    workspace: Workspace,
    paths: Sequence[Path],
    config: IngestConfig,
    engine: EngineConfig,
    overwrite: bool,
    report: Reporter,
) -> tuple[Layer, int, int]:
    """Look at the files that are new, and append them to the layer `scan`; needs the lock.

    Returns:
        The layer, how many files were looked at, and how many photos are gone.

    Raises:
        AutolabelError: the disk refuses, or some shards could not be done.
    """
    layer = workspace.layer("scan")
    manifest = Manifest(stage="scan", settings={"image_id": "sha256", "phash": "dct64"})
    root = Path(layer.manifest.source_root or "") if layer.exists else common_root(paths)
    allowed = outside(paths, root, workspace.path)
    if layer.exists and layer.manifest.origin != layer.manifest.origin | allowed:
        layer.write_manifest(replace(layer.manifest, origin=layer.manifest.origin | allowed))
    photos = KnownPhotos(layer, root)
    if layer.exists and overwrite and layer.manifest.binding() != manifest.binding():
        paths = list(dict.fromkeys([*(from_uri(uri, root) for uri in photos.known), *paths]))
        photos.known = {}
    uris = [to_uri(path, root) for path in paths if photos.is_new(path)]
    have = set(layer.shards()) if photos.known else set()
    tasks = _appended(uris, config.shard_size, have)
    shards, origin = len(have) + len(tasks), {"source": _retold(config.source), **allowed}
    manifest = replace(manifest, source_root=str(root), shards=shards, origin=origin)
    update = workspace.plan_update(
        "scan", manifest, dict.fromkeys([*have, *(task.index for task in tasks)], ""),
        overwrite=overwrite, redo=lambda layer, fitting: set(fitting) - have,
    )  # fmt: skip
    layer = run_stage("scan", partial(Scan, root), update, tasks, engine, report, "ingest")
    folders = [Path(os.path.abspath(s)) for s in config.source if Path(s).is_dir()]  # noqa: PTH100
    gone = photos.settle(layer, folders if config.prune else [])
    photos.save(layer)
    layer.note_shards()
    return layer, len(uris), gone


def _appended(uris: Sequence[str], shard_size: int, have: Collection[int]) -> list[Task]:
    """Return the files in shards of the first numbers that are free."""
    chunks = [uris[i : i + shard_size] for i in range(0, len(uris), shard_size)]
    free = (i for i in range(len(have) + len(chunks)) if i not in have)
    return [
        Task(index, len(chunk), partial(_unread, chunk))
        for index, chunk in zip(free, chunks, strict=False)
    ]


def _retold(source: Sequence[str]) -> list[str]:
    """Say what was ingested, to say it again; nothing where that cannot be said in a line."""
    if "-" in source or len(source) > MOST_RETOLD:
        return []
    return [str(Path(one).resolve()) for one in source]


def _unread(uris: Iterable[str]) -> list[Record]:
    return [Record("", uri) for uri in uris]


def outside_workspace(
    workspace: Workspace, source: Sequence[str], found: Sequence[Path]
) -> list[Path]:
    """Return the images that are not the workspace's own, as exports are where a source holds it.

    Raises:
        UsageError: the photos themselves lie in the workspace.
    """
    inside = workspace.path.resolve()
    paths = [p for p in found if not p.parent.resolve().is_relative_to(inside)]
    within = [s for s in source if Path(s).exists() and Path(s).resolve().is_relative_to(inside)]
    if within or not paths:
        named = within[0] if within else ", ".join(source)
        raise UsageError(
            f"{named} lies in the workspace {workspace.path} itself",
            hint="name another folder for the workspace, beside the photos or below them: "
            f"--workspace {inside.with_name(f'{inside.name}-labels')}",
        )
    return paths


def new_photos(workspace: Workspace, config: IngestConfig) -> int:
    """Count the photos that `ingest` would read.

    Raises:
        AutolabelError: a source is missing.
    """
    layer = workspace.layer("scan")
    paths = outside_workspace(workspace, config.source, find_images(config.source).paths)
    root = Path(layer.manifest.source_root or "") if layer.exists else common_root(paths)
    photos = KnownPhotos(layer, root)
    return sum(map(photos.is_new, paths))


def scanned(paths: Sequence[Path], workers: int = 0) -> list[Record]:
    """Return what `Scan.held_out` sees in photos, for `find_repeats`; 0 is one worker a core."""
    scan = Scan(Path("/"))
    records = [Record("", to_uri(path, Path("/"))) for path in paths]
    with ThreadPoolExecutor(workers or local.cores()) as pool:
        return [seen for turned in pool.map(scan.held_out, records) for seen in turned]
