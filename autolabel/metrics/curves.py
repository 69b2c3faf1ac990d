"""Precision and recall as the threshold goes down, and where F1 is best."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.metrics.matching import Matched
from autolabel.metrics.result import BestF1, Curve

_POINTS = 200  # of a curve; more would not show


def curve(matched: Matched) -> Curve:
    """Return the precision-recall curve of one class at the first IoU.

    It has 200 points at most; precision is as it is, not interpolated. It is empty where there is
    no hand-labelled object, or no prediction.
    """
    scores, tp, fp = _counted([matched])
    positives = int(matched.positives.sum())
    if not len(scores) or not positives:
        return Curve(recall=[], precision=[], score=[])
    at = np.unique(np.linspace(0, len(scores) - 1, _POINTS).round().astype(int))
    recall, precision = tp / positives, tp / np.maximum(tp + fp, 1)
    return Curve(
        recall=recall[at].tolist(),
        precision=precision[at].tolist(),
        score=scores[at].astype(float).tolist(),
    )


def best_f1(classes: Sequence[Matched]) -> BestF1 | None:
    """Return where F1 of the classes together is highest.

    The threshold is chosen on the very labels that it is then measured on, and so flatters. None
    where there is no hand-labelled object or no prediction.
    """
    scores, tp, fp = _counted(classes)
    positives = sum(int(one.positives.sum()) for one in classes)
    if not len(scores) or not positives:
        return None
    f1 = 2 * tp / (tp + fp + positives)
    i = int(f1.argmax())
    return BestF1(
        threshold=float(scores[i]),
        f1=float(f1[i]),
        precision=float(tp[i] / max(tp[i] + fp[i], 1)),
        recall=float(tp[i] / positives),
    )


def _counted(
    classes: Sequence[Matched],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[Any], npt.NDArray[Any]]:
    """Return each distinct score, highest first, with true and false positives from there up."""
    score = np.concatenate([np.zeros(0, np.float32), *(one.score for one in classes)])
    none = np.zeros(0, bool)
    hit = np.concatenate([none, *(one.hit[0] for one in classes)])
    miss = np.concatenate([none, *(one.miss[0] for one in classes)])
    counts = hit | miss
    order = np.argsort(-score[counts], kind="stable")
    score, hit, miss = score[counts][order], hit[counts][order], miss[counts][order]
    last = np.append(score[1:] != score[:-1], True)[: len(score)]
    return score[last], np.cumsum(hit)[last], np.cumsum(miss)[last]
