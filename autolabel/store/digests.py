"""SHA-256 of files, and whether their bytes are still those that were written.

Each file is hashed once in a process, as long as its inode, size and date stay.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from autolabel.reading import open_regular, read_open
from autolabel.store.files import LARGEST_FILE

_Key = tuple[int, int, int, int]
_known: dict[_Key, str] = {}


def digest_of(data: bytes, stat: os.stat_result | None = None) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal; `stat` is that of the file."""
    if stat is None:
        return hashlib.sha256(data).hexdigest()
    key = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _known:
        _known[key] = hashlib.sha256(data).hexdigest()
    return _known[key]


def read_with_stat(
    path: Path, folder: int | None = None, largest: int = LARGEST_FILE
) -> tuple[bytes, os.stat_result]:
    """Read a regular file's bytes and stat; by its name in the open folder, where one is given.

    Raises:
        OSError: it cannot be read, is larger than `largest` bytes, or is not a regular file.
    """

    with open_regular(path, folder) as file:
        return read_open(file, path, largest), os.fstat(file.fileno())
