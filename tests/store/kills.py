"""A kill at a counted change on disk, within the process."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

_CALLS = ("replace", "rename", "fsync", "unlink", "link", "rmdir", "mkdir")


class Killed(BaseException):
    """Nothing changes on disk from here on."""


def killed_at(step: int, work: Callable[[], object]) -> bool:
    """Do the work as if killed right before its `step`-th change on disk; was it?"""
    left = [step]

    def dying(call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return call(*args, **kwargs)

        return counted

    with pytest.MonkeyPatch.context() as patch:
        for name in _CALLS:
            patch.setattr(os, name, dying(getattr(os, name)))
        try:
            work()
        except Killed:
            return True
    return False
