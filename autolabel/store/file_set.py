"""Files of ours in a folder that may hold others', replaced all together.

All is built in a hidden folder inside. A journal file there is the commit: without it whoever comes
next throws the staged files away, with it the moves are finished. So whatever kills the process,
doing the same again leaves the old files or the new ones, and files that are not ours are never
touched. The folder may come from anybody: what its notes name is confined to it, and nothing is
written, moved or deleted by way of a link.

Why not a folder swap: people and trainers keep files of their own among these.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError
from autolabel.reading import read_json
from autolabel.sources.marks import JOURNAL, STAGING
from autolabel.store.files import sync_files, sync_folder, write_atomic


@dataclass(frozen=True)
class FileSet:
    """The files that one kind of command writes into a folder; paths are relative, with ``/``.

    Attributes:
        folder: where they lie; it need not exist.
        note: name of the JSON file beside them; its ``files`` are theirs.
        lock: name of the lock file beside them.
        maker: what writes them, in messages: ``export``.
        is_ours: whether a value is a path that the command may have written, and so may remove.
        heads: how the paths begin that other programs open first: those are gone while files are
            moved, so that a mixture is never read.
        caches: what other programs derive from the files and would go on believing.
    """

    folder: Path
    note: str
    lock: str
    maker: str
    is_ours: Callable[[Any], bool]
    heads: tuple[str, ...] = ()
    caches: tuple[str, ...] = ()

    @property
    def staging(self) -> Path:
        """The hidden folder to build in."""
        return self.folder / STAGING

    @property
    def journal(self) -> Path:
        """What was committed and is still to be moved."""
        return self.staging / JOURNAL

    def noted(self) -> dict[str, Any] | None:
        """Read what was noted when the files were published; None where nothing was.

        Raises:
            AutolabelError: the note is damaged.
        """
        path = self.folder / self.note
        try:
            note = read_json(path)
            if not path.is_symlink() and all(map(self.is_ours, note["files"])):
                return dict(note)
        except (FileNotFoundError, NotADirectoryError):
            if not path.is_symlink():
                return None
        except (OSError, ValueError, TypeError, KeyError):
            pass
        raise self._damaged(path)

    def whole_note(self) -> dict[str, Any]:
        """Read the note of a whole set, none of whose files has gone; empty where there is none."""
        try:
            note = self.noted()
        except AutolabelError:
            return {}
        if note is None or self.journal.exists():
            return {}
        return note if all(_exists(self.folder / file) for file in note["files"]) else {}

    @contextmanager
    def staged(self, check: Callable[[], None]) -> Iterator[Path]:
        """Give a fresh hidden folder to build in, gone afterwards; hold the folder meanwhile.

        Args:
            check: refuses a folder whose content is another's; called before anything is written
                there, and when what a kill left is cleared.

        Raises:
            AutolabelError: another process holds the folder, or `check` refuses it.
            OSError: it cannot be written.
        """
        for path in (self.folder / self.lock, self.staging, self.journal):
            if path.is_symlink():
                raise _linked(path)
        if not self.journal.exists():
            check()
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.folder / self.lock, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise AutolabelError(
                f"another {self.maker} is writing to {self.folder}",
                hint="wait for it, or name another --out",
            ) from None
        try:
            self.recover()
            check()
            self.staging.mkdir()
            yield self.staging
        finally:
            if not self.journal.exists():
                shutil.rmtree(self.staging, ignore_errors=True)
            lock.release()

    def recover(self) -> None:
        """Finish the moves of a commit that was killed, or clear what was not committed.

        Raises:
            AutolabelError: the journal is damaged, or leads outside.
            OSError: something cannot be moved.
        """
        if not self.journal.exists():
            if self.staging.exists():
                shutil.rmtree(self.staging)
            return
        try:
            journal = read_json(self.journal)
            sound = all(map(self.is_ours, [*journal["gone"], *journal["marker"]["files"]]))
        except (OSError, ValueError, TypeError, KeyError):
            sound = False
        if not sound:
            raise self._damaged(self.journal)
        self._apply(journal)

    def publish(self, note: Mapping[str, Any]) -> None:
        """Put the staged files in the place of the last ones, and `note` beside them.

        Args:
            note: what to note; its ``files`` are all staged.

        Raises:
            AutolabelError: a file that is not ours is in the way; nothing has changed then.
            OSError: a write failed; `recover` finishes it.
        """
        known, parents = set((self.noted() or {"files": []})["files"]), set()
        for file in note["files"]:
            parents.add(PurePosixPath(file).parent)
            if file not in known and _exists(_within(self.folder, file)):
                raise self.foreign(self.folder / file)
        for parent in map(self.folder.joinpath, parents):
            if parent != self.folder and parent.exists() and not parent.is_dir():
                raise self.foreign(parent)
        gone = sorted(known - set(note["files"]))
        for file in gone:
            _within(self.folder, file)
        sync_files([_within(self.staging, file) for file in note["files"]])
        journal = {"gone": gone, "marker": dict(note)}
        write_atomic(self.journal, json.dumps(journal).encode())
        self._apply(journal)

    def _apply(self, journal: dict[str, Any]) -> None:
        """Carry out a commit; doing it again after a crash does what is left."""
        files = journal["marker"]["files"]
        wanted = set(files)
        heads = [file for file in files if file.startswith(self.heads)] if self.heads else []
        body = [file for file in files if file not in set(heads)]
        for file in [*heads, *journal["gone"], *self._own_caches()]:
            if _exists(_within(self.staging, file)) or file not in wanted:
                _within(self.folder, file).unlink(missing_ok=True)
        for file in [*body, *heads]:
            staged_file, target = _within(self.staging, file), _within(self.folder, file)
            if _exists(staged_file):
                target.parent.mkdir(parents=True, exist_ok=True)
                staged_file.replace(target)
        for parent in sorted({PurePosixPath(file).parent for file in files}):
            sync_folder(self.folder / parent)
        text = json.dumps(journal["marker"], indent=1) + "\n"
        write_atomic(self.folder / self.note, text.encode())
        _drop_empty(self.folder, journal["gone"])
        # The journal goes last of all: without it the staging folder is only litter.
        for path in self.staging.iterdir():
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
        self.journal.unlink()
        shutil.rmtree(self.staging)

    def _own_caches(self) -> list[str]:
        """Return the caches that lie in the folder itself, not behind a link."""
        first = [(file, self.folder / PurePosixPath(file).parts[0]) for file in self.caches]
        return [file for file, top in first if not top.is_symlink()]

    def foreign(self, path: Path) -> AutolabelError:
        """Return the error for a file in the way that no such command wrote."""
        return AutolabelError(
            f"{path} is there already, and no {self.maker} wrote it",
            hint="name another folder with --out, or move that away",
        )

    def _damaged(self, path: Path) -> AutolabelError:
        return AutolabelError(
            f"{path} is damaged", hint="move that folder away, or name another one with --out"
        )


def _within(root: Path, file: str | PurePosixPath) -> Path:
    """Return the path of one of our files in `root`; no folder on the way is a link.

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


def _exists(path: Path) -> bool:
    return path.is_symlink() or path.exists()


def _drop_empty(folder: Path, gone: Sequence[str]) -> None:
    """Remove the folders that the removed files leave empty."""
    parents = {parent for file in gone for parent in PurePosixPath(file).parents}
    for parent in sorted(parents - {PurePosixPath(".")}, key=lambda p: -len(p.parts)):
        path = _within(folder, parent)
        if path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
            path.rmdir()
