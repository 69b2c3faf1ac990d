from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.models.prompts import best_of, merge, refuse_long, sizes_wh, split, to_xyxy
from autolabel.ontology import Ontology

PAIRS = [("RBC", "red cell"), ("RBC", "erythrocyte"), ("cat", "cat"), (None, "smudge")]
SCORES = arrays(np.float32, (5, 4), elements=st.floats(0, 1, width=32))


def words(text: str) -> int:
    return len(text.split())


@given(SCORES, st.floats(0, 1, width=32))
def test_a_query_belongs_to_its_best_prompt(scores: np.ndarray, min_score: float) -> None:
    boxes = np.tile(np.arange(5, dtype=np.float32)[:, None], 4)
    found = best_of(PAIRS, boxes, scores, min_score, {"presence": scores[:, 0]})
    expected = [row for row in range(5) if scores[row].max() >= min_score]
    assert found.xyxy[:, 0].tolist() == expected
    for row, label, prompt, score, named in zip(
        expected, found.label, found.prompt, found.score, found.scores, strict=True
    ):
        name, words_of = PAIRS[int(scores[row].argmax())]
        assert (label, prompt) == (NEGATIVE if name is None else name, words_of)
        assert score == scores[row].max()
        assert named == {"detector": float(score), "presence": float(scores[row, 0])}


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.integers(0, 3))
def test_groups_hold_every_prompt_once_and_fit(lengths: list[int], negatives: int) -> None:
    prompts = [" ".join([f"p{i}", *["x"] * (n - 1)]) for i, n in enumerate(lengths)]
    ontology = Ontology.from_prompts(prompts, [f"n{i}" for i in range(negatives)])
    groups = split(ontology, words, 8, 10)
    assert [pair[1] for group in groups for pair in group if pair[0]] == prompts
    for group in groups:
        assert [pair[1] for pair in group if pair[0] is None] == list(ontology.negatives)
        assert sum(words(prompt) for _, prompt in group) <= 8
    joined = [sum(words(p) for name, p in group if name) for group in groups]
    firsts = [words(group[0][1]) for group in groups[1:]]
    assert all(a + b > 8 - negatives for a, b in zip(joined, firsts, strict=False))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(AutolabelError, match=r"'a b c' and the negatives are over .* 10 tokens"):
        split(Ontology.from_prompts(["a b c"], ["n"]), words, 3, 10)
    with pytest.raises(AutolabelError, match="'a b c' has 3 tokens, over the model's 2"):
        refuse_long(["a", "a b c"], words, 2)
    refuse_long(["a b"], words, 2)
    (group,) = split(Ontology.from_prompts(["a b c"], ["n"]), words, 4, 10)
    assert [prompt for _, prompt in group] == ["a b c", "n"], "what fits exactly is not refused"


def test_boxes_are_scaled_to_each_image() -> None:
    images = [np.zeros((10, 20, 3), np.uint8), np.zeros((40, 10, 3), np.uint8)]
    relative = np.array([[[0.5, 0.5, 1.0, 0.5]]] * 2, np.float32)
    assert to_xyxy(relative, sizes_wh(images)).tolist() == [[[0, 2.5, 20, 7.5]], [[0, 10, 10, 30]]]


def test_passes_are_joined_in_order() -> None:
    boxes = np.zeros((2, 4), np.float32)
    one = best_of(PAIRS[:1], boxes, np.array([[0.5], [0.6]], np.float32), 0.0)
    other = best_of(PAIRS[2:3], boxes, np.array([[0.7], [0.8]], np.float32), 0.75)
    assert list(merge([one, other]).label) == ["RBC", "RBC", "cat"]
    assert merge([one]) is one
