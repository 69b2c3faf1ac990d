"""Files that are either as before or complete, and folders that are still being read."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.reading import read_regular

try:
    import fcntl
except ImportError:  # Windows: a folder that is being read cannot be renamed there anyway
    fcntl = None  # type: ignore[assignment]

REFUSED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG}
)
"""Errors with which a disk or folder refuses a write, and would refuse the next one."""


_SYNCING = 8
"""Files that are synced at once, which takes a tenth of the time that one by one does."""
LARGEST_FILE = 2**31
"""Bytes of a shard, and of any other file of a layer."""


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
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """See that what was renamed in a folder is on disk."""
    with suppress(OSError):  # not every file system can sync a folder
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def sync_files(paths: Sequence[Path]) -> None:
    """See that what was written to files is on disk; links are left alone."""
    with ThreadPoolExecutor(_SYNCING) as pool:
        list(pool.map(_sync_each, (paths[start::_SYNCING] for start in range(_SYNCING))))


def _sync_each(paths: Sequence[Path]) -> None:
    for path in paths:
        if not path.is_symlink():
            # Windows syncs only what may be written, and a linked photo may be read-only there.
            with suppress(PermissionError), path.open("r+b" if fcntl is None else "rb") as file:
                os.fsync(file.fileno())


def share(source: Path, target: Path) -> None:
    """Give a file another name: a link, or a copy where links cannot be made."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(source)
    except OSError:
        write_atomic(target, read_regular(source, LARGEST_FILE))
        shutil.copystat(source, target)  # `ingest` compares a shard's date with that of photos


def hold_folder(path: Path) -> int | None:
    """Open a folder so that `retire` leaves it alone until it is closed; None where it cannot be.

    Raises:
        OSError: it is not there.
    """
    if fcntl is None or os.open not in os.supports_dir_fd:
        return None
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        _flock(folder, fcntl.LOCK_SH)
        if not os.path.samestat(path.stat(), os.fstat(folder)):
            raise FileNotFoundError(errno.ENOENT, "replaced just now", str(path))
    except BaseException:
        os.close(folder)
        raise
    return folder


def retire(path: Path) -> bool:
    """Delete a folder unless somebody reads it; return whether it is gone."""
    if fcntl is not None:
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return not path.exists()
        try:
            _flock(folder, fcntl.LOCK_EX)
        except BlockingIOError:
            return False
        finally:
            os.close(folder)
    shutil.rmtree(path, ignore_errors=True)
    return not path.exists()


def _flock(folder: int, kind: int) -> None:
    try:
        fcntl.flock(folder, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:  # a file system without locks
        pass


def not_writable(path: Path, cause: OSError) -> AutolabelError:
    """Return the error for a folder or disk that refuses a write."""
    return AutolabelError(
        f"{path} cannot be written: {cause.strerror or cause}",
        hint="free some space or name another folder, then run the same command again",
    )
