"""A folder that is replaced as a whole, by two renames that any later process can finish.

Its successor is made beside it, hidden, as ``.NAME.next``. To publish it, the folder becomes
``.NAME.old`` and the successor takes its name; a kill between the two leaves neither under that
name, and whoever holds the lock next brings in the successor if it is whole, else the old one.
What is thrown away is renamed to ``.NAME.gone-0`` before it is deleted, so that no part of a folder
is ever found under the name of the whole, and stays for as long as somebody reads it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from autolabel.errors import AutolabelError
from autolabel.store.files import retire, sync_folder

_LEFT = re.compile(r"\.(.+)\.(?:old|gone(?:-\d+)?)")


class FolderSwap:
    """A folder, and the hidden ones beside it while it is replaced; needs the caller's lock.

    Attributes:
        final: the folder.
        next: where its successor is made.
        old: where it lies between the two renames.

    Args:
        final: the folder, which need not exist.
        note: file that says what such a folder is; without it nothing is there.
        is_whole: whether a successor is complete, and may be brought in after a kill.
    """

    def __init__(self, final: Path, note: str, is_whole: Callable[[Path], bool]) -> None:
        self.final = final
        self.next = _beside(final, "next")
        self.old = _beside(final, "old")
        self._note = note
        self._is_whole = is_whole

    @property
    def has_left_something(self) -> bool:
        """Whether there is anything for `recover` to do."""
        return self.old.is_dir() or bool(_gone(self.final))

    @property
    def is_half_done(self) -> bool:
        """Whether a swap is under way, or was killed, between its two renames."""
        return self.old.is_dir() and not (self.final / self._note).is_file()

    def publish(self) -> None:
        """Put the successor in the place of the folder; who reads that one goes on.

        Raises:
            OSError: something cannot be renamed; `recover` finishes or undoes it.
        """
        sync_folder(self.next)
        if self.final.exists():
            self.final.rename(self.old)
        self.next.rename(self.final)
        sync_folder(self.final.parent)
        if self.old.exists():
            self.discard(self.old)

    def recover(self) -> None:
        """Finish or undo what a killed `publish` or `discard` left half done.

        Raises:
            AutolabelError: other files have the folder's name; nothing is lost.
            OSError: something cannot be renamed.
        """
        if self.is_half_done:
            try:
                if self.final.exists():
                    self.final.rmdir()
            except OSError as e:
                raise AutolabelError(
                    f"{self.final} holds files, but no {self._note} that says what they are",
                    hint=f"move {self.final} away and run the same command again",
                ) from e
            (self.next if self._is_whole(self.next) else self.old).rename(self.final)
            sync_folder(self.final.parent)
        if self.old.is_dir():
            self.discard(self.old)
        for gone in _gone(self.final):
            retire(gone)

    def discard(self, folder: Path) -> None:
        """Delete the folder or its successor at once, or when nobody reads it any more.

        Raises:
            OSError: it cannot be renamed.
        """
        taken = {path.name for path in _gone(self.final)}
        names = (_beside(self.final, f"gone-{n}") for n in range(len(taken) + 1))
        gone = next(path for path in names if path.name not in taken)
        folder.rename(gone)
        retire(gone)


def unsettled_in(parent: Path) -> list[Path]:
    """Return the folders beside which a swap has left something for `FolderSwap.recover`."""
    found = (_LEFT.fullmatch(path.name) for path in parent.glob(".*") if path.is_dir())
    return sorted({parent / match[1] for match in found if match})


def _gone(final: Path) -> list[Path]:
    """Return what was thrown away; ``.NAME.gone`` is what older versions called it."""
    kinds = re.compile(rf"\.{re.escape(final.name)}\.gone(-\d+)?")
    return sorted(path for path in final.parent.glob(".*") if kinds.fullmatch(path.name))


def _beside(final: Path, kind: str) -> Path:
    return final.with_name(f".{final.name}.{kind}")
