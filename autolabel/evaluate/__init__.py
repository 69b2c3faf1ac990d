"""Labels against hand labels: COCO's AP, precision and recall, and how sure they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.config import EvaluateConfig
from autolabel.errors import AutolabelError
from autolabel.evaluate.classes import map_classes
from autolabel.evaluate.match import Match, Pair, Unmatched, match_truth
from autolabel.evaluate.metrics import (
    COCO_IOUS,
    Bools,
    Matched,
    average_precision,
    counts_per_image,
    match_boxes,
)
from autolabel.ontology import Ontology
from autolabel.truth import Truth, TruthImage
from autolabel.types import Objects, Record

__all__ = ["Evaluation", "Figures", "Match", "Unmatched", "evaluate", "match_truth", "to_json"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_MAX_PER_IMAGE = 100  # COCO's maxDets, for AP
_NO_LIMIT = 1_000_000
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True)
class Figures:
    """AP as COCO defines it; precision, recall and F1 at the operating point.

    None where a figure is not defined: AP and recall without hand-labelled objects, precision
    without predictions, F1 without either.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    precision: float | None
    recall: float | None
    f1: float | None


@dataclass(frozen=True)
class ClassFigures(Figures):
    """The figures of one class, and how many objects are behind them.

    Attributes:
        truth: hand-labelled objects, without those to be ignored.
        predicted: predictions at the operating point.
        tp, fp, fn: right, wrong and missed ones; a prediction on what is to be ignored is neither.
    """

    truth: int
    predicted: int
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class WorstImage:
    """An image with wrong or missed objects at the operating point."""

    name: str
    uri: str
    tp: int
    fp: int
    fn: int


@dataclass(frozen=True)
class Evaluation:
    """A layer against hand labels.

    Attributes:
        overall: AP is the mean over the classes that have hand-labelled objects; precision, recall
            and F1 count the objects of all measured classes together.
        intervals: figure -> 95 % percentile interval of a bootstrap over images; None where the
            figure is not defined, empty where no bootstrap was asked for.
        classes: figures by class, in the order of the ontology.
        classes_without_truth: classes that the hand labels do not know, so that nothing is said
            about them.
        images: how many were compared.
        without_truth: how many usable images of the layer were not.
        unmatched: hand-labelled images that were not compared, and why.
        worst: the images with most wrong and missed objects.
    """

    overall: Figures
    intervals: dict[str, tuple[float, float] | None]
    classes: dict[str, ClassFigures]
    classes_without_truth: tuple[str, ...]
    images: int
    without_truth: int
    unmatched: tuple[Unmatched, ...]
    worst: tuple[WorstImage, ...]
    score_threshold: float
    iou: float
    truth: str


def evaluate(
    records: Sequence[Record], truth: Truth, ontology: Ontology, config: EvaluateConfig
) -> Evaluation:
    """Measure the kept objects of a layer against hand labels.

    Raises:
        AutolabelError: no hand-labelled image is in the layer, or a class is unknown.
    """
    mapped = map_classes(truth, ontology, config.class_map)
    match = match_truth(records, truth)
    if not match.pairs:
        why = match.unmatched[0]
        raise AutolabelError(
            f"none of the {len(truth.records)} hand-labelled images can be compared; "
            f"{why.name}: {why.reason}",
            hint="pass --label-truth to label them as the layer was labelled",
        )
    measured = tuple(name for name in ontology.names if name in mapped.values())
    matches = _match_boxes(match.pairs, mapped, measured, config)
    once = np.ones((1, len(match.pairs)), dtype=np.int64)
    return Evaluation(
        overall=Figures(**{name: _known(v[0]) for name, v in _figures(matches, once).items()}),
        intervals=_intervals(matches, config),
        classes={name: _class_figures(matches, k, once) for k, name in enumerate(measured)},
        classes_without_truth=tuple(n for n in ontology.names if n not in measured),
        images=len(match.pairs),
        without_truth=match.without_truth,
        unmatched=tuple(match.unmatched),
        worst=_worst(match.pairs, matches.counts.sum(axis=0), config.worst),
        score_threshold=config.score_threshold,
        iou=config.iou,
        truth=str(truth.path),
    )


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON values; what is not defined is null."""
    e = evaluation
    return {
        **asdict(e.overall),
        "intervals": {k: None if v is None else list(v) for k, v in e.intervals.items()},
        "classes": {name: asdict(figures) for name, figures in e.classes.items()},
        "classes_without_truth": list(e.classes_without_truth),
        "images": e.images,
        "without_truth": e.without_truth,
        "unmatched": [u.name for u in e.unmatched],
        "unmatched_reasons": {u.name: u.reason for u in e.unmatched},
        "worst": [asdict(image) for image in e.worst],
        "score_threshold": e.score_threshold,
        "iou": e.iou,
        "truth": e.truth,
    }


@dataclass(frozen=True)
class _Matches:
    """For k measured classes and n images.

    Attributes:
        matched: for AP, by class.
        counts: (k, n, 3) true positives, false positives, false negatives at the operating point.
        predicted: (k,) predictions there.
    """

    matched: list[Matched]
    counts: Ints
    predicted: list[int]

    def only(self, k: int) -> _Matches:
        """One class."""
        return _Matches(self.matched[k : k + 1], self.counts[k : k + 1], self.predicted[k : k + 1])


def _match_boxes(
    pairs: Sequence[Pair],
    mapped: Mapping[str, str | None],
    measured: Sequence[str],
    config: EvaluateConfig,
) -> _Matches:
    truth, ignore = zip(*(_renamed(image, mapped) for _, image in pairs), strict=True)
    found = [record.objects.kept for record, _ in pairs]
    # Scores are stored as float32, in which 0.35 is a little less than 0.35.
    at_least = np.float32(config.score_threshold)
    sure = [objects[objects.score >= at_least] for objects in found]
    there = match_boxes(sure, truth, ignore, measured, config.iou, _NO_LIMIT)
    labels = [label for objects in sure for label in objects.label]
    return _Matches(
        matched=match_boxes(found, truth, ignore, measured, COCO_IOUS, _MAX_PER_IMAGE),
        counts=np.array([counts_per_image(m) for m in there]).reshape(-1, len(pairs), 3),
        predicted=[labels.count(name) for name in measured],
    )


def _renamed(image: TruthImage, mapped: Mapping[str, str | None]) -> tuple[Objects, Bools]:
    """Hand labels by the ontology's names, without the classes that are left out."""
    names = [mapped[label] for label in image.objects.label]
    used = np.array([name is not None for name in names], dtype=bool)
    label = np.array(names, dtype=object).reshape(len(names))
    return replace(image.objects, label=label)[used], image.ignore[used]


def _figures(matches: _Matches, weights: Ints) -> dict[str, Floats]:
    """Each of `Figures` for each sample of images, NaN where it is not defined.

    Args:
        matches: the classes to take together.
        weights: (samples, n) how often each image counts.
    """
    samples = len(weights)
    aps = np.full((1, samples, len(COCO_IOUS)), np.nan)
    if matches.matched:
        aps = np.stack([average_precision(m, weights) for m in matches.matched])
    by_iou = _ratio(np.nan_to_num(aps).sum(axis=0), (~np.isnan(aps)).sum(axis=0))
    tp, fp, fn = (weights @ matches.counts.sum(axis=0)).T
    return {
        "ap": by_iou.mean(axis=1),
        "ap50": by_iou[:, 0],
        "ap75": by_iou[:, 5],
        "precision": _ratio(tp, tp + fp),
        "recall": _ratio(tp, tp + fn),
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
    }


def _ratio(part: npt.NDArray[Any], whole: npt.NDArray[Any]) -> Floats:
    ratio = np.full(part.shape, np.nan)
    np.divide(part, whole, out=ratio, where=whole > 0)
    return ratio


def _known(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _class_figures(matches: _Matches, k: int, once: Ints) -> ClassFigures:
    one = matches.only(k)
    tp, fp, fn = one.counts.sum(axis=(0, 1)).tolist()
    figures = {name: _known(values[0]) for name, values in _figures(one, once).items()}
    return ClassFigures(**figures, truth=tp + fn, predicted=one.predicted[0], tp=tp, fp=fp, fn=fn)


def _intervals(matches: _Matches, config: EvaluateConfig) -> dict[str, tuple[float, float] | None]:
    if not config.bootstrap:
        return {}
    samples, n = config.bootstrap, matches.counts.shape[1]
    drawn = np.random.default_rng(config.seed).integers(0, n, (samples, n))
    drawn += np.arange(samples)[:, None] * n
    weights = np.bincount(drawn.ravel(), minlength=samples * n).reshape(samples, n)
    return {name: _interval(values) for name, values in _figures(matches, weights).items()}


def _interval(values: Floats) -> tuple[float, float] | None:
    """Of the samples in which the figure is defined."""
    defined = values[~np.isnan(values)]
    if not len(defined):
        return None
    low, high = np.percentile(defined, _PERCENTILES)
    return float(low), float(high)


def _worst(pairs: Sequence[Pair], counts: Ints, most: int) -> tuple[WorstImage, ...]:
    """The images with most wrong and missed objects; those without any are not among them."""
    rows = [
        WorstImage(image.name, record.uri, *figures)
        for (record, image), figures in zip(pairs, counts.tolist(), strict=True)
    ]
    bad = [row for row in rows if row.fp + row.fn]
    return tuple(sorted(bad, key=lambda r: (-(r.fp + r.fn), r.name))[:most])
