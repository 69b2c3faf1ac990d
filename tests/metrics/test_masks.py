from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from autolabel.metrics.bootstrap import draw
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.metrics.matching import match_by_size
from autolabel.metrics.measure import measure
from autolabel.ops import masks
from autolabel.types import Objects
from tests.measuring import objects, true

BOX, AWAY = [10, 10, 50, 50], [60, 60, 90, 90]


def filled(box: list[int]) -> bytes:
    mask = np.zeros((1, 100, 100), bool)
    mask[0, box[1] : box[3], box[0] : box[2]] = True
    return masks.encode(mask)[0]


def with_masks(labels: Objects, *given: bytes | None) -> Objects:
    column = np.empty(len(given), object)
    column[:] = given
    return replace(labels, mask=column)


def photos(labels: Objects, ignore: list[bool] | None = None) -> EvaluationSet:
    flags = np.array(ignore, bool) if ignore else np.zeros(len(labels), bool)
    return EvaluationSet(("cat",), (), (labels,), (flags,), ("0.jpg",), ("0.jpg",), ((100, 100),))


def measured(
    found: Objects,
    labels: Objects,
    samples: int = 0,
    *,
    at_least: float = 0.0,
    ignore: list[bool] | None = None,
) -> Any:
    return measure(
        [found], photos(labels, ignore), score_threshold=at_least, iou=0.5,
        weights=draw(1, samples, 0),
    ).figures.masks  # fmt: skip


def test_masks_are_scored_by_their_own_overlap() -> None:
    labels = with_masks(true(("cat", BOX)), filled(BOX))
    found = objects(("cat", 0.9, BOX))
    whole = measured(with_masks(found, filled(BOX)), labels, samples=5)
    assert (whole.ap, whole.ap50, whole.ap75, whole.mean_iou) == pytest.approx((1, 1, 1, 1))
    names = ("ap", "ap50", "ap75", "mean_iou")
    assert whole.intervals == {name: pytest.approx((1, 1)) for name in names}
    part = measured(with_masks(found, filled([10, 10, 34, 50])), labels)  # 0.6 of it
    assert part.ap50 == pytest.approx(1)
    assert part.ap75 == 0
    assert part.ap == pytest.approx(3 / 10)
    assert part.mean_iou == pytest.approx(0.6)
    most = measured(with_masks(found, filled([10, 10, 39, 50])), labels)  # 0.725 of it
    assert most.intervals == {}
    assert (most.ap75, most.ap) == (0, pytest.approx(5 / 10))


def test_a_bad_mask_in_a_good_box_pulls_the_mean_down() -> None:
    labels = with_masks(true(("cat", BOX)), filled(BOX))
    bad = measured(with_masks(objects(("cat", 0.9, BOX)), filled([10, 10, 14, 50])), labels)
    assert bad.ap50 == 0
    assert bad.mean_iou == pytest.approx(0.1)


def test_without_masks_on_both_sides_there_is_nothing_to_say() -> None:
    found = objects(("cat", 0.9, BOX))
    plain, labelled = true(("cat", BOX)), with_masks(true(("cat", BOX)), filled(BOX))
    assert measured(found, labelled) is None
    assert measured(with_masks(found, filled(BOX)), plain) is None
    assert measured(objects(), labelled) is None
    some = with_masks(true(("cat", BOX), ("cat", BOX)), filled(BOX), None)
    assert measured(with_masks(found, filled(BOX)), some) is None


def test_what_was_found_without_a_mask_is_wrong() -> None:
    labels = with_masks(true(("cat", BOX)), filled(BOX))
    found = objects(("cat", 0.9, BOX), ("cat", 0.5, BOX))
    result = measured(with_masks(found, None, filled(BOX)), labels)
    assert result.ap50 == pytest.approx(0.5)


def test_the_mean_is_of_the_operating_point() -> None:
    labels = with_masks(true(("cat", BOX), ("cat", AWAY)), filled(BOX), filled(AWAY))
    found = with_masks(
        objects(("cat", 0.35, BOX), ("cat", 0.34, AWAY)), filled(BOX), filled([60, 60, 62, 90])
    )
    assert measured(found, labels, at_least=0.35).mean_iou == 1
    assert measured(found, labels).mean_iou < 0.6


def test_what_is_to_be_ignored_needs_no_mask_and_counts_neither_way() -> None:
    labels = with_masks(true(("cat", BOX), ("cat", AWAY)), filled(BOX), None)
    found = with_masks(objects(("cat", 0.9, BOX)), filled(BOX))
    assert measured(found, labels, ignore=[False, True]).mean_iou == 1
    both = with_masks(true(("cat", BOX), ("cat", AWAY)), filled(BOX), filled(AWAY))
    more = with_masks(
        objects(("cat", 0.9, BOX), ("cat", 0.8, AWAY)), filled(BOX), filled([60, 60, 62, 90])
    )
    assert measured(more, both, ignore=[False, True]).mean_iou == 1


def test_a_mask_is_of_the_size_of_its_own_area() -> None:
    """A box of 40 x 40 pixels is of medium size; 30 x 30 of them are small."""
    labels = with_masks(true(("cat", BOX)), filled([10, 10, 40, 40]))
    flags, given = [np.zeros(1, bool)], ([labels], [labels])
    by_mask = match_by_size(*given, flags, ("cat",), [0.5], 100, masks_wh=[(100, 100)])
    by_box = match_by_size(*given, flags, ("cat",), [0.5], 100)
    assert [by_mask[size][0].positives.sum() for size in ("small", "medium")] == [1, 0]
    assert [by_box[size][0].positives.sum() for size in ("small", "medium")] == [0, 1]
