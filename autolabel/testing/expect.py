"""How a check says what is wrong."""

from __future__ import annotations

from collections.abc import Sequence

from autolabel.ops.arrays import Bools
from autolabel.ops.masks import decode


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


def drawn(masks: Sequence[bytes], height: int, width: int) -> Bools:
    """Return masks as pixels, bool (n, height, width).

    Raises:
        ContractError: one is not of that size.
    """
    try:
        return decode(masks, height, width)
    except ValueError as e:
        raise ContractError(f"a mask is not of {width} × {height} pixels: {e}") from e
