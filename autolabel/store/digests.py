"""SHA-256 of files, and whether their bytes are still those that were written.

Each file is hashed once in a process, as long as its inode, size and date stay.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_Key = tuple[int, int, int, int]
_known: dict[_Key, str] = {}


def digest_of(data: bytes, stat: os.stat_result | None = None) -> str:
    """SHA-256 in hexadecimal of a file's bytes; `stat` is that of the file."""
    if stat is None:
        return hashlib.sha256(data).hexdigest()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _known:
        _known[key] = hashlib.sha256(data).hexdigest()
    return _known[key]


def read_with_stat(path: Path, folder: int | None = None) -> tuple[bytes, os.stat_result]:
    """A file's bytes and stat; by its name in the open folder, where one is given.

    Raises:
        OSError: it cannot be read.
    """

    def opener(name: str, flags: int) -> int:
        return os.open(path.name, flags, dir_fd=folder)

    with open(path, "rb", opener=None if folder is None else opener) as file:
        stat = os.fstat(file.fileno())
        return file.read(), stat
