"""How a check says what is wrong."""

from __future__ import annotations


class ContractError(AssertionError):
    """Something does not do what is promised of its kind."""


def expect(promise: object, what_is_wrong: str) -> None:
    """Check a promise.

    Raises:
        ContractError: it is not kept.

    >>> expect(1 + 1 == 2, "numbers do not add up")
    """
    if not promise:
        raise ContractError(what_is_wrong)
