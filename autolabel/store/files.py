"""Files that are either as before or complete."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError

REFUSED = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM})
"""Errors with which a disk or folder refuses a write, and would refuse the next one."""


def write_atomic(path: Path, data: Any) -> None:
    """Write bytes so that `path` is either as before or complete, also after a power cut.

    A link under that name, or under the temporary one, is replaced and never written through.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as file:  # made anew, or not at all
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # not every file system can sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def not_writable(path: Path, cause: OSError) -> AutolabelError:
    """The error for a folder or disk that refuses a write."""
    return AutolabelError(
        f"{path} cannot be written: {cause.strerror or cause}",
        hint="free some space or name another folder, then run the same command again",
    )
