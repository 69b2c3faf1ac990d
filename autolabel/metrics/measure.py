"""All figures of one thing against hand labels, and those of two things beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autolabel.metrics.bootstrap import difference, interval, share
from autolabel.metrics.confusion import BACKGROUND, confusion_matrix
from autolabel.metrics.curves import best_f1, curve
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.figures import FIGURES, Matches, figures_of, known, match
from autolabel.metrics.masks import mask_figures
from autolabel.metrics.result import (
    ClassFigures,
    Confusion,
    EntryFigures,
    Estimate,
    Figures,
    WorstPhoto,
)
from autolabel.ops.arrays import Floats, Ints
from autolabel.types import Objects


@dataclass(frozen=True, eq=False)
class Measurement:
    """One thing against hand labels.

    Attributes:
        figures: on the photos as they are.
        samples: each of `FIGURES` in each bootstrap sample of the photos, (samples,), NaN where
            it is not defined.
    """

    figures: EntryFigures
    samples: Mapping[str, Floats]


def measure(
    found: Sequence[Objects],
    against: EvaluationSet,
    *,
    score_threshold: float,
    iou: float,
    weights: Ints,
    worst: int = 10,
) -> Measurement:
    """Measure what was found in the photos.

    Args:
        found: the objects in each of the n photos, with their scores.
        against: the photos, with their hand labels.
        score_threshold: operating point of precision, recall and F1.
        iou: from which a box counts as found there.
        weights: (samples, n) how often each photo counts in each bootstrap sample, see `draw`.
        worst: how many of the worst photos to list.
    """
    classes, matches = against.classes, match(found, against, iou, score_threshold)
    sure = [objects[objects.score >= np.float32(score_threshold)] for objects in found]
    samples = figures_of(matches, weights)
    intervals = {name: interval(values) for name, values in samples.items()}
    matrix = confusion_matrix(sure, against.truth, against.ignore, classes, iou)
    figures = EntryFigures(
        score_threshold=score_threshold,
        **dict(_point(matches)),
        intervals=intervals if len(weights) else {},
        classes={name: _of_class(matches.only(k), sure, name) for k, name in enumerate(classes)},
        curves={name: curve(one) for name, one in zip(classes, matches.there, strict=True)},
        confusion=Confusion(labels=[*classes, BACKGROUND], matrix=matrix),
        masks=mask_figures(found, against, iou, score_threshold, weights),
        worst=_worst(against, matches.counts.sum(axis=0), worst),
    )
    return Measurement(figures, samples)


def differences(
    of: Measurement, minus: Measurement, names: Sequence[str] = FIGURES
) -> dict[str, Estimate | None]:
    """Return `of - minus` for each figure that both have, with paired 95 % intervals."""
    return _paired(difference, of, minus, names)


def shares(
    of: Measurement, whole: Measurement, names: Sequence[str] = FIGURES
) -> dict[str, Estimate | None]:
    """Return `of / whole` for each figure that both have, with paired 95 % intervals."""
    return _paired(share, of, whole, names)


_Pairing = Callable[[float | None, float | None, Floats, Floats], Estimate | None]


def _paired(
    make: _Pairing, of: Measurement, other: Measurement, names: Sequence[str]
) -> dict[str, Estimate | None]:
    made: dict[str, Estimate | None] = {}
    for name in names:
        ours, theirs = getattr(of.figures, name), getattr(other.figures, name)
        estimate = make(ours, theirs, of.samples[name], other.samples[name])
        if estimate is not None:
            made[name] = estimate
    return made


def _point(matches: Matches) -> Figures:
    """Return the figures on the photos as they are."""
    once = np.ones((1, matches.counts.shape[1]), dtype=np.int64)
    values = {name: known(sample[0]) for name, sample in figures_of(matches, once).items()}
    return Figures(**values, best_f1=best_f1(matches.there))


def _of_class(matches: Matches, sure: Sequence[Objects], name: str) -> ClassFigures:
    tp, fp, fn = matches.counts.sum(axis=(0, 1)).tolist()
    return ClassFigures(
        **dict(_point(matches)),
        truth=tp + fn,
        predicted=sum(int((objects.label == name).sum()) for objects in sure),
        tp=tp,
        fp=fp,
        fn=fn,
    )


def _worst(against: EvaluationSet, counts: Ints, most: int) -> list[WorstPhoto]:
    """Return the photos with most wrong and missed objects; those without any are left out."""
    named = zip(against.names, against.uris, counts.tolist(), strict=True)
    rows = [
        WorstPhoto(name=name, uri=uri, tp=tp, fp=fp, fn=fn) for name, uri, (tp, fp, fn) in named
    ]
    bad = [row for row in rows if row.fp + row.fn]
    return sorted(bad, key=lambda row: (-(row.fp + row.fn), row.name))[:most]
