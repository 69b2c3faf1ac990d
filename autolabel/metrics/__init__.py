"""Labels and students against hand labels: COCO's AP, precision and recall, and how sure they are.

Pure figures: nothing here reads a workspace or runs a model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from autolabel.metrics.bootstrap import Floats, Ints, difference, draw, interval, share
from autolabel.metrics.confusion import BACKGROUND, confusion_matrix
from autolabel.metrics.curves import best_f1, curve
from autolabel.metrics.evaluation_set import Photos, line_up
from autolabel.metrics.figures import (
    FIGURES,
    Matches,
    figures_of,
    known,
    mask_figures,
    match,
)
from autolabel.metrics.match import Match, Unmatched, match_truth
from autolabel.types import Objects

__all__ = [
    "FIGURES",
    "RESULT",
    "Match",
    "Measured",
    "Photos",
    "Unmatched",
    "differences",
    "draw",
    "line_up",
    "match_truth",
    "measure",
    "shares",
]

RESULT = "evaluate/result.json"
"""Where the last comparison lies in a workspace, as ``{"key": …, "result": …}``."""


@dataclass(frozen=True, eq=False)
class Measured:
    """One thing against hand labels.

    Attributes:
        figures: what `evaluate/result.json` holds for it, as JSON values; None where a figure is
            not defined.
        samples: each of `FIGURES` in each bootstrap sample of the images, (samples,), NaN where
            it is not defined.
    """

    figures: dict[str, Any]
    samples: Mapping[str, Floats]


def measure(
    found: Sequence[Objects],
    photos: Photos,
    *,
    score_threshold: float,
    iou: float,
    weights: Ints,
    worst: int = 10,
) -> Measured:
    """Measure what was found in the photos.

    Args:
        found: the objects in each of the n photos, with their scores.
        photos: the hand labels.
        score_threshold: operating point of precision, recall and F1.
        iou: from which a box counts as found there.
        weights: (samples, n) how often each photo counts in each bootstrap sample, see `draw`.
        worst: how many of the worst photos to list.
    """
    matches = match(found, photos, iou, score_threshold)
    sure = [objects[objects.score >= np.float32(score_threshold)] for objects in found]
    samples = figures_of(matches, weights)
    intervals = {name: interval(values) for name, values in samples.items()}
    result = {
        "score_threshold": score_threshold,
        **_point(matches),
        "intervals": intervals if len(weights) else {},
        "classes": {
            name: _class_figures(matches.only(k), sure, name)
            for k, name in enumerate(photos.classes)
        },
        "curves": {n: curve(m) for n, m in zip(photos.classes, matches.there, strict=True)},
        "confusion": {
            "labels": [*photos.classes, BACKGROUND],
            "matrix": confusion_matrix(sure, photos.truth, photos.ignore, photos.classes, iou),
        },
        "masks": mask_figures(found, photos, iou, score_threshold, weights),
        "worst": _worst(photos, matches.counts.sum(axis=0), worst),
    }
    return Measured(result, samples)


def differences(of: Measured, minus: Measured, names: Sequence[str] = FIGURES) -> dict[str, Any]:
    """`of - minus` for each figure that both have, with paired 95 % intervals."""
    return _paired(difference, of, minus, names)


def shares(of: Measured, whole: Measured, names: Sequence[str] = FIGURES) -> dict[str, Any]:
    """`of / whole` for each figure that both have, with paired 95 % intervals."""
    return _paired(share, of, whole, names)


def _paired(make: Any, of: Measured, other: Measured, names: Sequence[str]) -> dict[str, Any]:
    made = {
        name: make(
            of.figures[name], other.figures[name], of.samples[name], other.samples[name]
        )
        for name in names
    }  # fmt: skip
    return {name: value for name, value in made.items() if value is not None}


def _point(matches: Matches) -> dict[str, Any]:
    """The figures on the images as they are."""
    once = np.ones((1, matches.counts.shape[1]), dtype=np.int64)
    figures: dict[str, Any] = {n: known(v[0]) for n, v in figures_of(matches, once).items()}
    return {**figures, "best_f1": best_f1(matches.there)}


def _class_figures(matches: Matches, sure: Sequence[Objects], name: str) -> dict[str, Any]:
    tp, fp, fn = matches.counts.sum(axis=(0, 1)).tolist()
    return {
        **_point(matches),
        "truth": tp + fn,
        "predicted": sum(int((objects.label == name).sum()) for objects in sure),
        "tp": tp,
        "fp": fp,
        "fn": fn,
    }


def _worst(photos: Photos, counts: Ints, most: int) -> list[dict[str, Any]]:
    """The photos with most wrong and missed objects; those without any are not among them."""
    named = zip(photos.names, photos.uris, counts.tolist(), strict=True)
    rows = [
        {"name": name, "uri": uri, "tp": tp, "fp": fp, "fn": fn}
        for name, uri, (tp, fp, fn) in named
    ]
    bad = [row for row in rows if row["fp"] + row["fn"]]
    return sorted(bad, key=lambda row: (-(row["fp"] + row["fn"]), row["name"]))[:most]
