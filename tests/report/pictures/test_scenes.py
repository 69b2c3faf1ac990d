from __future__ import annotations

from dataclasses import replace

import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from autolabel.report.pictures.scenes import compared
from autolabel.types import Objects

BOX = st.tuples(*[st.integers(0, 12)] * 2, *[st.integers(3, 12)] * 2)
LABELLED = st.lists(st.tuples(st.sampled_from("ab"), BOX), max_size=6)


@given(LABELLED, LABELLED)
def test_right_and_missed_as_coco_counts_them(found: list, hand: list) -> None:
    from pycocotools import mask as coco

    def objects(rows: list, *, scored: bool) -> Objects:
        boxes = [[x, y, x + w, y + h] for _, (x, y, w, h) in rows]
        scores = [0.9 - 0.1 * i for i in range(len(rows))] if scored else [1.0] * len(rows)
        return Objects.create([c for c, _ in rows], scores, np.reshape(boxes, (-1, 4)))

    one, other = objects(found, scored=True), objects(hand, scored=False)
    right, missed = compared(one, other, np.zeros(len(other), bool), 0.5)
    assert right.sum() == (~missed).sum()  # each hand label is found once
    expected = set()
    for label, (x, y, w, h) in found:  # already the surest first
        ious = [
            float(coco.iou([[x, y, w, h]], [list(map(float, box))], [0])[0][0])
            if name == label and k not in expected else -1.0
            for k, (name, box) in enumerate(hand)
        ]  # fmt: skip
        if ious and max(ious) >= 0.5 - 1e-9:
            expected.add(int(np.argmax(ious)))
    assert set(np.flatnonzero(~missed).tolist()) == expected
    ignored, _ = compared(one, replace(other), np.ones(len(other), bool), 0.5)
    assert not ignored.any()
