"""What is said of classes of which nothing was found."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

from autolabel.cli.screen import message

if TYPE_CHECKING:
    from autolabel.stages.unseen import Unseen

LOW_SCORE = 0.05
"""Lower scores are those of anything; no threshold helps there."""

WORDS = 'other words, or several: --prompt "CLASS=prompt, prompt"'


def unseen(found: Unseen, thresholds: Mapping[str, float]) -> None:
    """Name classes without a label, how near they came to their thresholds, and what to try."""
    what = "nothing at all" if found.everything else f"no {', no '.join(found.highest)}"
    message(f"warning: {what} was found in {found.images} images")
    where = "them" if found.looked_at == found.images else f"{found.looked_at} of them"
    near: dict[str, float] = {}
    for name, highest in found.highest.items():
        if highest is None:
            message(f"  {name}: no box in {where} is likest to it, whatever the score")
            continue
        threshold = thresholds[name]
        lost = ", but its boxes lose to other prompts" if highest >= threshold else ""
        message(
            f"  {name}: the highest score in {where} is {_down(highest):.2f}, "
            f"the threshold {threshold:g}{lost}"
        )
        if LOW_SCORE <= highest < threshold:
            near[name] = _down(0.8 * highest)
    message(f"hint: {_advice(near, found.everything)}")


def _advice(near: Mapping[str, float], everything: bool) -> str:
    if not near:
        return f"check the spelling of the prompts, or try {WORDS}, or another --model"
    if everything:
        lower = f"--box-threshold {min(near.values()):.2f}"
    else:
        lower = " ".join(f'--class-threshold "{name}={low:.2f}"' for name, low in near.items())
    return f"try {lower} --overwrite, or {WORDS}"


def _down(score: float) -> float:
    return math.floor(score * 100) / 100
