"""A layer as it was when a reader began: what takes its place meanwhile changes nothing."""

from __future__ import annotations

import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path

from autolabel.store.files import hold_folder
from autolabel.store.manifest import Manifest
from autolabel.store.manifest_file import MANIFEST, read_manifest
from autolabel.store.shards import shard_numbers


@dataclass(frozen=True)
class Snapshot:
    """A layer's open folder, its manifest and its shards.

    Attributes:
        folder: descriptor, open and so not deleted until the snapshot is collected; None where
            the system cannot hold a folder.
        manifest: of the layer.
        shards: numbers of those that it had, in order.
    """

    folder: int | None
    manifest: Manifest
    shards: tuple[int, ...]


def take_snapshot(path: Path, name: str) -> Snapshot:
    """Hold a layer's folder as it is now.

    Raises:
        AutolabelError: it is not there, or is damaged.
    """
    folder = None
    for _ in range(50):
        try:
            folder = hold_folder(path)
            break
        except OSError:
            if not (path / MANIFEST).is_file():
                break
            time.sleep(0.02)  # it is replaced just now
    try:
        manifest = read_manifest(path, name, folder)
        names = os.listdir(path if folder is None else folder)  # noqa: PTH208
        snapshot = Snapshot(folder, manifest, tuple(shard_numbers(names)))
    except BaseException:
        if folder is not None:
            os.close(folder)
        raise
    if folder is not None:
        weakref.finalize(snapshot, os.close, folder)
    return snapshot
