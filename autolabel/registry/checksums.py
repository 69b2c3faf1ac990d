"""SHA-256 of weights, read once per process and file."""

from __future__ import annotations

import fnmatch
import functools
import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

COUNTED = ("*.json", "*.txt", "*.model", "*.safetensors", "pytorch_model*.bin")
"""What makes a checkpoint what it is; prose beside it does not count."""

WEIGHTS = (("model.safetensors",), ("model-*.safetensors",), ("pytorch_model*.bin",))
"""The kinds of weights, the better first; the last is read as tensors and nothing else."""


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, as hex."""
    at = path.resolve()
    state = at.stat()
    return _computed(at, state.st_size, state.st_mtime_ns)


def folder_digest(folder: Path) -> str:
    """Return one SHA-256 over the names and contents of a checkpoint's files."""
    return _together(sorted({p for pattern in COUNTED for p in folder.glob(pattern)}))


def weights_digest(folder: Path) -> str:
    """Return the SHA-256 of a checkpoint's weights or original file; of several over their names
    and sums.

    A large file of the hub's cache bears it as its name, and was checked against that name when it
    was fetched, so that it is not read again. Empty where the folder holds none.
    """
    if folder.is_file():
        return _fetched_sha256(folder)
    files = [folder / name for name in weights_among(path.name for path in folder.iterdir())]
    if not files:
        return ""
    return _fetched_sha256(files[0]) if len(files) == 1 else _together(files, _fetched_sha256)


def weights_among(names: Iterable[str]) -> list[str]:
    """Return the files that a checkpoint is loaded from, of those at the top of its folder.

    >>> weights_among(["pytorch_model.bin", "model.safetensors", "open_clip_model.safetensors"])
    ['model.safetensors']
    """
    known = sorted(name for name in names if "/" not in name)
    kinds = (
        [name for name in known if any(fnmatch.fnmatchcase(name, one) for one in patterns)]
        for patterns in WEIGHTS
    )
    return next(filter(None, kinds), [])


@functools.lru_cache(maxsize=256)
def _computed(path: Path, size: int, modified_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetched_sha256(path: Path) -> str:
    at = path.resolve()
    named = at.parent.name == "blobs" and re.fullmatch(r"[0-9a-f]{64}", at.name)
    return at.name if named else sha256_of(path)


def _together(files: list[Path], digest: Callable[[Path], str] = sha256_of) -> str:
    sha = hashlib.sha256()
    for path in files:
        sha.update(f"{path.name}:{digest(path)}\n".encode())
    return sha.hexdigest()
