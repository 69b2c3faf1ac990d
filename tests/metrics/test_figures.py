"""Figures worked out by hand, and as pycocotools has them."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from typing import Any

import numpy as np
import pytest

from autolabel.metrics.average_precision import average_precision
from autolabel.metrics.matching import COCO_IOUS, _annotations, _coco, match_boxes
from autolabel.ontology import Ontology
from autolabel.types import Objects
from tests.measuring import ONTOLOGY, config, evaluate, image, objects, one, record, true, truth_of

with contextlib.redirect_stdout(io.StringIO()):
    from pycocotools.cocoeval import COCOeval

BOX, AWAY = [10, 10, 20, 20], [50, 50, 60, 60]
HALF = [10, 10, 20, 15]  # IoU 0.5 with BOX
LESS = [10, 10, 20, 14.5]

CAT = ("cat", 0.9, BOX)
WRONG = ("cat", 0.8, AWAY)


@pytest.mark.parametrize(
    ("found", "labels", "precision", "recall", "f1", "ap50"),
    [
        ([CAT], [("cat", BOX)], 1, 1, 1, 1),
        ([CAT, WRONG], [("cat", BOX)], 0.5, 1, 2 / 3, 1),
        ([("cat", 0.7, BOX), WRONG], [("cat", BOX)], 0.5, 1, 2 / 3, 0.5),
        ([CAT], [("cat", BOX), ("cat", AWAY)], 1, 0.5, 2 / 3, 51 / 101),
        ([("cat", 0.9, HALF)], [("cat", BOX)], 1, 1, 1, 1),  # 0.5 is enough for 0.5
        ([("cat", 0.9, LESS)], [("cat", BOX)], 0, 0, 0, 0),
        ([CAT, ("cat", 0.8, BOX)], [("cat", BOX)], 0.5, 1, 2 / 3, 1),  # found twice
        ([("dog", 0.9, BOX)], [("cat", BOX)], 0, 0, 0, 0),
        ([], [("cat", BOX)], None, 0, 0, 0),
        ([CAT], [], 0, None, 0, None),
        ([], [], None, None, None, None),
    ],
)
def test_figures_worked_out_by_hand(
    found: Any, labels: Any, precision: Any, recall: Any, f1: Any, ap50: Any
) -> None:
    result = one(objects(*found), true(*labels), bootstrap=20)
    figures = result
    got = [figures.precision, figures.recall, figures.f1, figures.ap50]
    assert got == [pytest.approx(v) for v in (precision, recall, f1, ap50)]
    text = json.dumps(result.model_dump(), allow_nan=False)  # so null, never NaN or -1
    assert "-1" not in text
    for name, interval in result.intervals.items():
        value = getattr(figures, name)
        assert interval == (None if value is None else pytest.approx([value, value]))


def test_the_operating_point_is_of_kept_objects_above_the_threshold() -> None:
    found = objects(("cat", 0.35, BOX), ("cat", 0.34, AWAY))
    figures = one(found, true(("cat", BOX)), score_threshold=0.35).classes["cat"]
    assert (figures.tp, figures.fp, figures.fn, figures.predicted) == (1, 0, 0, 1)
    rejected = objects(("cat", 0.9, BOX), keep=False)
    assert one(rejected, true(("cat", BOX))).recall == 0


def test_the_iou_of_the_operating_point_is_the_one_asked_for() -> None:
    found, labels = objects(("cat", 0.9, HALF)), true(("cat", BOX))
    assert one(found, labels, iou=0.5).f1 == 1
    assert one(found, labels, iou=0.55).f1 == 0


def test_more_than_a_hundred_objects_of_a_class_all_count() -> None:
    boxes = [[i, 0, i + 1, 9] for i in range(150)]
    found = objects(*(("cat", 0.5, box) for box in boxes))
    assert one(found, true(*(("cat", box) for box in boxes))).recall == 1


def test_for_ap_the_hundred_surest_of_a_class_in_an_image_count_as_in_coco() -> None:
    wrong = [("cat", 0.9, [i, 50, i + 1, 60]) for i in range(100)]
    found = objects(*wrong, ("cat", 0.5, BOX))
    row = one(found, true(("cat", BOX)))
    assert (row.ap50, row.recall) == (0, 1)
    assert one(objects(*wrong[1:], ("cat", 0.5, BOX)), true(("cat", BOX))).ap50 == pytest.approx(
        1 / 100
    )


def test_what_is_to_be_ignored_counts_neither_way() -> None:
    found = objects(CAT, ("cat", 0.8, AWAY), ("cat", 0.7, [50, 50, 55, 55]))
    figures = one(found, true(("cat", BOX), ("cat", AWAY)), ignore=[False, True]).classes["cat"]
    assert (figures.tp, figures.fp, figures.fn, figures.truth) == (1, 0, 0, 1)
    assert (figures.precision, figures.recall, figures.ap50) == pytest.approx((1, 1, 1))
    missed = one(objects(), true(("cat", BOX)), ignore=[True])
    assert missed.recall is None


def test_the_worst_images_come_first() -> None:
    images = [image(f"{n}.jpg", true(*[("cat", BOX)] * n)) for n in (1, 0, 3, 2)]
    result = evaluate(
        [record(i.name) for i in images], truth_of(*images), ONTOLOGY, config(worst=2)
    )
    assert [(w.name, w.tp, w.fp, w.fn) for w in result.row.worst] == [
        ("3.jpg", 0, 0, 3),
        ("2.jpg", 0, 0, 2),
    ]


def test_photos_that_are_equally_bad_are_listed_by_name() -> None:
    images = [image(name, true()) for name in ("b.jpg", "c.jpg", "a.jpg", "fine.jpg")]
    rows = [record(i.name, objects() if i.name == "fine.jpg" else objects(CAT)) for i in images]
    worst = evaluate(rows, truth_of(*images), ONTOLOGY, config()).row.worst
    assert [(one.name, one.fp) for one in worst] == [("a.jpg", 1), ("b.jpg", 1), ("c.jpg", 1)]


def test_counts_of_a_class_are_of_its_labels_and_of_its_predictions() -> None:
    found = objects(CAT, WRONG, ("cat", 0.7, [80, 80, 90, 90]), ("dog", 0.9, AWAY))
    labels = true(("cat", BOX), ("cat", [30, 30, 40, 40]))
    cat = one(found, labels).classes["cat"]
    assert (cat.truth, cat.predicted, cat.tp, cat.fp, cat.fn) == (2, 3, 1, 2, 1)
    dog = one(found, labels).classes["dog"]
    assert (dog.truth, dog.predicted, dog.tp, dog.fp, dog.fn) == (0, 1, 0, 1, 0)
    assert (dog.ap, dog.recall, dog.precision) == (None, None, 0)
    assert dog.best_f1 is None
    assert cat.best_f1 is not None
    assert (cat.best_f1.threshold, cat.best_f1.f1) == pytest.approx((0.9, 2 / 3))


def test_a_class_without_truth_does_not_pull_the_mean_down() -> None:
    result = one(objects(CAT, ("dog", 0.9, AWAY)), true(("cat", BOX)), bootstrap=20)
    assert (result.ap, result.classes["cat"].ap) == pytest.approx((1, 1))
    assert result.intervals["ap"] == pytest.approx((1, 1))


def test_the_confusion_matrix_is_of_the_operating_point() -> None:
    found = objects(CAT, ("dog", 0.35, AWAY), ("dog", 0.34, AWAY))
    row = one(found, true(("cat", BOX)), score_threshold=0.35)
    assert row.confusion is not None
    assert row.confusion.labels == ["cat", "dog", "background"]
    assert row.confusion.matrix == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]


def test_without_a_bootstrap_there_is_no_interval() -> None:
    assert one(objects(CAT), true(("cat", BOX))).intervals == {}


# -- against pycocotools ----------------------------------------------------------------------


def random_pairs(
    seed: int, count: int, scale: float = 1
) -> tuple[list[Objects], list[Objects], list[Any]]:
    rng = np.random.default_rng(seed)
    found, labels, ignore = [], [], []
    for _ in range(count):
        n = int(rng.integers(0, 7))
        boxes = rng.uniform(0, 80, (n, 4))
        boxes[:, 2:] = boxes[:, :2] + rng.uniform(5, 30, (n, 2))
        boxes *= scale
        names = rng.choice(["cat", "dog", "rare"], n, p=[0.6, 0.35, 0.05]).tolist()
        labels.append(objects(*zip(names, [1.0] * n, boxes.tolist(), strict=True)))
        ignore.append(rng.random(n) < 0.1)
        seen = rng.random(n) < 0.8
        moved = boxes[seen] + rng.normal(0, 1.5 * scale, (seen.sum(), 4))
        extra = rng.uniform([0, 0, 50, 50], [50, 50, 100, 100], (2, 4)) * scale
        all_boxes = np.concatenate([moved, extra])
        all_names = [n for n, s in zip(names, seen, strict=True) if s]
        all_names += ["cat", "dog"]
        scores = rng.uniform(0, 1, len(all_boxes)).tolist()
        found.append(objects(*zip(all_names, scores, all_boxes.tolist(), strict=True)))
    return found, labels, ignore


def coco_eval(found: Any, labels: Any, ignore: Any, names: tuple[str, ...]) -> Any:
    """pycocotools' own evaluation, from its own loader on."""
    ids = {name: i for i, name in enumerate(names, 1)}
    shared = {
        "images": [{"id": i} for i in range(1, len(labels) + 1)],
        "categories": [{"id": i, "name": n} for n, i in ids.items()],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth = _coco({**shared, "annotations": _annotations(labels, ignore, ids)})
        flags = [np.zeros(len(o), bool) for o in found]
        results = [
            {k: a[k] for k in ("image_id", "category_id", "bbox", "score")}
            for a in _annotations(found, flags, ids)
        ]
        evaluator = COCOeval(truth, truth.loadRes(results), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return evaluator


@pytest.mark.parametrize("scale", [1, 3, 6])  # boxes of 5 to 30 pixels, up to 30 to 180
@pytest.mark.parametrize("seed", range(4))
def test_ap_is_what_pycocotools_says_also_by_size(seed: int, scale: int) -> None:
    names = ("cat", "dog", "rare")
    found, labels, ignore = random_pairs(seed, 12, scale)
    stats = coco_eval(found, labels, ignore, names).stats
    images = [
        image(f"{i}.jpg", o, ignore=f) for i, (o, f) in enumerate(zip(labels, ignore, strict=True))
    ]
    records = [record(f"{i}.jpg", o) for i, o in enumerate(found)]
    ontology = Ontology.from_prompts(names)
    figures = evaluate(records, truth_of(*images, names=names), ontology, config()).row
    got = [figures.ap, figures.ap50, figures.ap75]
    got += [figures.ap_small, figures.ap_medium, figures.ap_large]
    got = [-1 if value is None else value for value in got]  # as pycocotools has it
    np.testing.assert_allclose(got, stats[:6], rtol=0, atol=1e-9)


def test_ties_are_broken_as_pycocotools_breaks_them() -> None:
    found, labels, ignore = random_pairs(5, 12)
    for one_image in found:
        one_image.score[:] = np.round(one_image.score, 1)
    expected = coco_eval(found, labels, ignore, ("cat", "dog")).stats[0]
    matched = match_boxes(found, labels, ignore, ("cat", "dog"), COCO_IOUS, 100)
    got = [average_precision(m, np.ones((1, 12), int)) for m in matched]
    assert np.mean(got) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_resampled_ap_is_pycocotools_accumulated_anew(seed: int) -> None:
    names = ("cat", "dog", "rare")
    count = 10
    found, labels, ignore = random_pairs(seed, count)
    evaluator = coco_eval(found, labels, ignore, names)
    matched = match_boxes(found, labels, ignore, names, COCO_IOUS, 100)
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(count, np.full(count, 1 / count), 6)
    weights[0] = 0
    weights[0, 0] = count
    got = np.stack([average_precision(m, weights) for m in matched])  # (k, samples, t)
    for s, weight in enumerate(weights):
        drawn = np.repeat(np.arange(count), weight)
        expected = accumulated(evaluator, drawn, count)  # (t, k)
        np.testing.assert_allclose(got[:, s].T, expected, rtol=0, atol=1e-9)


def accumulated(evaluator: Any, drawn: Any, count: int) -> Any:
    """AP by threshold and class of a sample of images, NaN where pycocotools says -1."""
    again = copy.copy(evaluator)
    k, a = len(evaluator.params.catIds), len(evaluator.params.areaRng)
    rows = np.empty((k, a, count), dtype=object)
    rows.ravel()[:] = evaluator.evalImgs
    again.evalImgs = rows[:, :, drawn].ravel().tolist()
    again.params = copy.deepcopy(evaluator.params)
    again.params.imgIds = list(range(1, len(drawn) + 1))
    again._paramsEval = again.params
    with contextlib.redirect_stdout(io.StringIO()):
        again.accumulate()
    precision = again.eval["precision"][:, :, :, 0, 2]
    return np.where((precision > -1).all(axis=1), precision.mean(axis=1), math.nan)


def test_intervals_are_seeded_and_hold_the_figure() -> None:
    found, labels, _ = random_pairs(1, 30)
    images = [image(f"{i}.jpg", o) for i, o in enumerate(labels)]
    records = [record(f"{i}.jpg", o) for i, o in enumerate(found)]
    ontology = Ontology.from_prompts(["cat", "dog", "rare"])
    truth = truth_of(*images, names=ontology.names)
    first, again, other = (
        evaluate(records, truth, ontology, config(bootstrap=200, seed=seed)).row
        for seed in (1, 1, 2)
    )
    assert first.intervals == again.intervals != other.intervals
    for name, interval in first.intervals.items():
        figure = getattr(first, name)
        if name in ("ap_medium", "ap_large"):  # no box is 32 pixels wide
            assert interval is figure is None
        else:
            assert interval[0] < figure < interval[1]
