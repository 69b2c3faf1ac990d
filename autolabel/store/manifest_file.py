"""The file ``manifest.json`` of a layer, parsed once in a process for as long as it stays."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.reading import parse_json
from autolabel.store.digests import read_with_stat
from autolabel.store.files import write_atomic
from autolabel.store.manifest import Manifest
from autolabel.store.validate import LARGEST_MANIFEST, manifest_of

MANIFEST = "manifest.json"
_MOST_KEPT = 64

_Key = tuple[int, int, int, int, int]
_parsed: dict[_Key, Manifest] = {}


def read_manifest(layer: Path, name: str, folder: int | None = None) -> Manifest:
    """Return the manifest of a layer; not to be changed, since others may hold it too.

    Args:
        layer: its folder.
        name: of the layer, for messages.
        folder: descriptor of that folder, where it is to be read as it was when it was opened.

    Raises:
        AutolabelError: it is missing or damaged.
    """
    path = layer / MANIFEST
    try:
        key = _key(path.stat() if folder is None else os.stat(path.name, dir_fd=folder))
        manifest = _parsed.get(key)
        if manifest is None:
            data, stat = read_with_stat(path, folder, LARGEST_MANIFEST)
            manifest = manifest_of(parse_json(data))
            if len(_parsed) >= _MOST_KEPT:
                _parsed.clear()
            _parsed[_key(stat)] = manifest
        return manifest
    except FileNotFoundError:
        raise AutolabelError(
            f"the workspace has no layer {name}/",
            hint=f"autolabel status {layer.parent} lists the layers",
        ) from None
    except (OSError, ValueError) as e:
        raise AutolabelError(
            f"{path} is damaged: {e}", hint=f"move {layer} away and run the stage again"
        ) from e


def write_manifest(layer: Path, name: str, manifest: Manifest) -> None:
    """Write the manifest of a layer atomically.

    Raises:
        AutolabelError: a path in it is not UTF-8.
        OSError: it cannot be written.
    """
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False) + "\n"
    try:
        data = text.encode()
    except UnicodeEncodeError as e:
        shown = text[max(0, e.start - 40) : e.end].rpartition('"')[2].encode(errors="replace")
        raise AutolabelError(
            f"{name}/ cannot note {shown.decode()}…: the path is not UTF-8",
            hint="rename that folder, or where its name is UTF-8: export LC_ALL=C.UTF-8",
        ) from e
    write_atomic(layer / MANIFEST, data)


def _key(stat: os.stat_result) -> _Key:
    return (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
