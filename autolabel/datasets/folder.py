"""A dataset folder that changes in one go: staged, committed, then moved into place.

Everything is built in a hidden folder inside the dataset's own. A journal file there is the
commit: without it a new run throws the staged files away, with it a new run finishes the moves. So
whatever kills an export, running it again leaves the old dataset or the new one, and files that
are not ours are never touched. The folder may come from anybody: what its notes name is confined to
it, and nothing is written, moved or deleted by way of a link.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError
from autolabel.reading import read_json
from autolabel.sources import marks
from autolabel.store import write_atomic

MARKER = marks.EXPORT
STAGING = marks.STAGING
_LOCK = ".autolabel-export.lock"
_JOURNAL = marks.JOURNAL
_ENTRY_POINTS = ("data.yaml", "annotations/")
"""What trainers open first: gone while files are moved, so that a mixture is never read."""

_CACHES = ("labels/train.cache", "labels/val.cache")
"""What ultralytics keeps beside the labels; versions of it do not notice that labels changed."""


def read_marker(out: Path) -> dict[str, Any] | None:
    """What an earlier export noted, or None where there was none.

    Raises:
        AutolabelError: the note is damaged.
    """
    path = out / MARKER
    try:
        marker = read_json(path)
        if not path.is_symlink() and all(map(_is_ours, marker["files"])):
            return dict(marker)
    except (FileNotFoundError, NotADirectoryError):
        if not path.is_symlink():
            return None
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise _damaged(path)


def _damaged(path: Path) -> AutolabelError:
    return AutolabelError(
        f"{path} is damaged", hint="move that folder away, or name another one with --out"
    )


def _is_ours(file: Any) -> bool:
    """Whether a path is one that an export may have written, and so may remove."""
    if not isinstance(file, str) or set(file) & set("\\:\0"):  # another drive, on Windows
        return False
    parts = PurePosixPath(file).parts
    return file == "data.yaml" or (
        ".." not in parts and len(parts) > 1 and parts[0] in ("images", "labels", "annotations")
    )


def _within(root: Path, file: str | PurePosixPath) -> Path:
    """The path of one of our files in `root`; no folder on the way is a link.

    Raises:
        AutolabelError: one is.
    """
    here = root
    for part in PurePosixPath(file).parts[:-1]:
        here = here / part
        if here.is_symlink():
            raise _linked(here)
    return root / file


def _linked(path: Path) -> AutolabelError:
    return AutolabelError(
        f"{path} is a link, and nothing is written or deleted by way of one",
        hint="remove the link, or name another folder with --out",
    )


def is_published(out: Path, expected: dict[str, Any]) -> bool:
    """Whether a whole export with these notes is there, and none of its files has gone."""
    try:
        marker = read_marker(out)
    except AutolabelError:
        return False
    if marker is None or (out / STAGING / _JOURNAL).exists():
        return False
    return all(marker.get(key) == value for key, value in expected.items()) and all(
        _exists(out / file) for file in marker["files"]
    )


@contextmanager
def staged(out: Path, items: Sequence[str], format_name: str) -> Iterator[Path]:
    """A fresh hidden folder inside `out` to build in, gone afterwards; holds `out` meanwhile.

    Args:
        out: the dataset's folder.
        items: the names at its top that the export will write.
        format_name: of the export.

    Raises:
        AutolabelError: another export holds `out`, or its content is another's.
        OSError: `out` cannot be written.
    """
    for name in (_LOCK, STAGING, f"{STAGING}/{_JOURNAL}"):
        if (out / name).is_symlink():
            raise _linked(out / name)
    if not (out / STAGING / _JOURNAL).exists():
        check_free(out, items, format_name)  # before anything is written there
    out.mkdir(parents=True, exist_ok=True)
    lock = FileLock(out / _LOCK, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise AutolabelError(
            f"another export is writing to {out}", hint="wait for it, or name another --out"
        ) from None
    staging = out / STAGING
    try:
        _recover(out)
        check_free(out, items, format_name)
        staging.mkdir()
        yield staging
    finally:
        if not (staging / _JOURNAL).exists():
            shutil.rmtree(staging, ignore_errors=True)
        lock.release()


def _recover(out: Path) -> None:
    """Finish the moves of a committed export that was killed, or clear what was not committed."""
    path = out / STAGING / _JOURNAL
    if not path.exists():
        if (out / STAGING).exists():
            shutil.rmtree(out / STAGING)
        return
    try:
        journal = read_json(path)
        sound = all(map(_is_ours, [*journal["gone"], *journal["marker"]["files"]]))
    except (OSError, ValueError, TypeError, KeyError):
        sound = False
    if not sound:
        raise _damaged(path)
    _apply(out, journal)


def check_free(out: Path, items: Sequence[str], format_name: str) -> None:
    """Refuse what is not a folder, holds another format, or such items that no export wrote.

    Raises:
        AutolabelError: it is or does.
    """
    if out.exists() and not out.is_dir():
        raise AutolabelError(f"{out} is not a folder", hint="name another one with --out")
    marker = read_marker(out)
    if marker is not None and marker.get("format") != format_name:
        raise AutolabelError(
            f"{out} holds an export in {marker.get('format')} format",
            hint="name another folder with --out, or delete that one first",
        )
    for item in items:
        path = out / item
        alien = marker is None and path.exists() and not (path.is_dir() and not any(path.iterdir()))
        if alien or path.is_symlink():
            raise AutolabelError(
                f"{path} is there already, and no export wrote it",
                hint="name another folder with --out, or move that away",
            )


def publish(out: Path, marker: dict[str, Any]) -> None:
    """Put the staged files in the place of those of the last export, and `marker` beside them.

    Args:
        out: the dataset's folder, whose staging folder holds every one of ``marker["files"]``.
        marker: what to note.

    Raises:
        AutolabelError: a file that is not ours is in the way; nothing has changed then.
        OSError: a write failed; running the export again finishes it.
    """
    old = read_marker(out) or {"files": []}
    known, folders = set(old["files"]), set()
    for file in marker["files"]:
        folders.add(PurePosixPath(file).parent)
        if file not in known and _exists(_within(out, file)):
            raise _foreign(out / file)
    for folder in map(out.joinpath, folders):
        if folder != out and folder.exists() and not folder.is_dir():
            raise _foreign(folder)
    gone = sorted(known - set(marker["files"]))
    for file in gone:
        _within(out, file)
    journal = {"gone": gone, "marker": marker}
    write_atomic(out / STAGING / _JOURNAL, json.dumps(journal).encode())
    _apply(out, journal)


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _foreign(path: Path) -> AutolabelError:
    return AutolabelError(
        f"{path} is there already, and no export wrote it",
        hint="move it away, or name another folder with --out",
    )


def _apply(out: Path, journal: dict[str, Any]) -> None:
    """Carry out a committed export; doing it again after a crash does what is left."""
    staging, files = out / STAGING, journal["marker"]["files"]
    wanted = set(files)
    heads = [file for file in files if file.startswith(_ENTRY_POINTS)]
    body = [file for file in files if not file.startswith(_ENTRY_POINTS)]
    caches = () if (out / "labels").is_symlink() else _CACHES
    for file in [*heads, *journal["gone"], *caches]:
        if _exists(_within(staging, file)) or file not in wanted:
            _within(out, file).unlink(missing_ok=True)
    for file in [*body, *heads]:
        staged_file, target = _within(staging, file), _within(out, file)
        if _exists(staged_file):
            target.parent.mkdir(parents=True, exist_ok=True)
            staged_file.replace(target)
    write_atomic(out / MARKER, (json.dumps(journal["marker"], indent=1) + "\n").encode())
    _drop_empty(out, journal["gone"])
    # The journal goes last of all: without it the staging folder is only litter.
    for path in staging.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
    (staging / _JOURNAL).unlink()
    shutil.rmtree(staging)


def _drop_empty(out: Path, gone: Sequence[str]) -> None:
    """Remove the folders that the removed files leave empty."""
    folders = {parent for file in gone for parent in PurePosixPath(file).parents}
    for folder in sorted(folders - {PurePosixPath(".")}, key=lambda p: -len(p.parts)):
        path = _within(out, folder)
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
