"""The errors that a user can cause, each with a hint that says what to type.

AutolabelError        something is wrong; exit status 1
└── UsageError        the command itself is wrong; exit status 2

Any other exception that escapes is a bug of ours and shows its traceback.
"""

from __future__ import annotations


class AutolabelError(Exception):
    """A problem that the user can mend.

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


def _rebuild(kind: type[AutolabelError], message: str, hint: str) -> AutolabelError:
    return kind(message, hint=hint)
