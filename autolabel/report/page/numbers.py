"""How numbers and settings are written in the page."""

from __future__ import annotations

import json
import math
from typing import Any

from autolabel.metrics.result import Estimate, Interval


def figure(number: float | None) -> str:
    """Write three digits, or a dash where there is no number.

    >>> figure(0.81649), figure(None)
    ('0.816', '–')
    """
    return "–" if number is None or not math.isfinite(number) else f"{number:.3f}"


def signed(number: float | None) -> str:
    """Write three digits with a sign.

    >>> signed(-0.0312), signed(0.5)
    ('−0.031', '+0.500')
    """
    return figure(number) if number is None else f"{number:+.3f}".replace("-", "−")


def two_digits(number: float | None) -> str:
    """Write two digits, or a dash where there is no number."""
    return "–" if number is None else f"{number:.2f}"


def percent(share: float | None) -> str:
    """Write a share in percent.

    >>> percent(0.9649), percent(None)
    ('96 %', '–')
    """
    return "–" if share is None else f"{100 * share:.0f} %"


def spread(interval: Interval) -> str:
    """Write ``0.71 to 0.83``, or a dash where there is no interval."""
    return f"{interval[0]:.2f} to {interval[1]:.2f}" if interval else "–"


def times(factor: float) -> str:
    """Write how many times as fast something is: ``2.4``, ``25``."""
    return f"{factor:.0f}" if factor >= 9.5 else f"{factor:.1f}"


def photos(count: int) -> str:
    """Write ``1 photo``, ``1,200 photos``."""
    return f"{count:,} photo{'' if count == 1 else 's'}"


def minutes(seconds: float) -> str:
    """Write a time.

    >>> minutes(75), minutes(12.4)
    ('1 min 15 s', '12 s')
    """
    whole = round(seconds)
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


def reading(difference: Estimate | None) -> str:
    """Put a difference in words, by whether its interval leaves out zero.

    >>> reading(Estimate(value=-0.1, interval=(-0.2, 0.02)))
    'no clear difference'
    """
    if difference is None or difference.value is None or difference.interval is None:
        return ""
    low, high = difference.interval
    return "clearly better" if low > 0 else "clearly worse" if high < 0 else "no clear difference"


def value(setting: Any) -> str:
    """Write a setting as people would type it."""
    return setting if isinstance(setting, str) else json.dumps(setting, ensure_ascii=False)
