"""The errors that a user can cause, each with a hint that says what to type.

AutolabelError        something is wrong; exit status 1
├── InUseError        another process holds the workspace; exit status 1
└── UsageError        the command itself is wrong; exit status 2

Any other exception that escapes is a bug of ours and shows its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence


class AutolabelError(Exception):
    """A problem that the user can fix.

    Args:
        message: what is wrong, in one line, without a full stop.
        hint: what to type or change, in one line.
    """

    exit_status = 1

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.message, self.hint)


class UsageError(AutolabelError):
    """A wrong option, value or configuration key."""

    exit_status = 2


class InUseError(AutolabelError):
    """Another process is writing to the workspace."""


def _rebuild(kind: type[AutolabelError], message: str, hint: str) -> AutolabelError:
    return kind(message, hint=hint)


def nearest(word: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the known name that is spelled most like a word; None where none is near.

    Args:
        cutoff: least likeness, in [0, 1], as of `difflib.get_close_matches`.

    Examples:
        >>> nearest("promt", ["prompt", "model"])
        'prompt'
    """
    return next(iter(difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)), None)


def suggest(word: str, known: Sequence[str], intro: str) -> str:
    """Return a hint for a name that is not known: the nearest one, else all of them.

    Examples:
        >>> suggest("promt", ["prompt", "model"], "the keys are")
        "did you mean 'prompt'?"
    """
    near = nearest(word, known)
    return f"did you mean {near!r}?" if near else f"{intro}: {', '.join(known)}"
