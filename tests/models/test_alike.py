"""Images of one input size go through a model together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers import DetrImageProcessor

from autolabel.models.alike import by_key, in_sizes, input_size

SIZES_WH = [(60, 40), (40, 60), (120, 80), (64, 64), (200, 24), (97, 61)]
RULES = [
    {"height": 48, "width": 96},
    {"shortest_edge": 64, "longest_edge": 96},
]


def blank(width: int, height: int, value: int = 0) -> np.ndarray[Any, Any]:
    return np.full((height, width, 3), value, np.uint8)


@pytest.mark.parametrize("size", RULES, ids=str)
@pytest.mark.parametrize("size_wh", SIZES_WH, ids=str)
def test_the_size_that_is_told_ahead_is_the_processors(
    size: dict[str, int], size_wh: tuple[int, int]
) -> None:
    processor = DetrImageProcessor(size=size, do_pad=False)
    made = processor(images=[blank(*size_wh)], return_tensors="pt")["pixel_values"].shape[-2:]
    assert input_size(processor, *size_wh) == tuple(made)


def test_of_another_rule_the_size_is_the_images_own() -> None:
    processor = type("Processor", (), {"size": {"max_height": 9, "max_width": 9}})()
    assert input_size(processor, 60, 40) == (40, 60)


def test_batches_are_of_one_size_and_results_in_the_order_of_the_images() -> None:
    processor = DetrImageProcessor(size=RULES[1], do_pad=True)
    images = [blank(*size, value=40 * i) for i, size in enumerate(SIZES_WH)]
    batches: list[list[int]] = []

    def forward(members: list[int], inputs: Any) -> list[float]:
        batches.append(members)
        assert (inputs["pixel_mask"] == 1).all(), "padding reaches the model"
        return inputs["pixel_values"].mean(dim=(1, 2, 3)).tolist()

    means = in_sizes(processor, images, forward)
    assert means == sorted(means)
    assert sorted(i for members in batches for i in members) == list(range(len(images)))
    assert [0, 2] in batches
    assert in_sizes(processor, [], forward) == []


def test_work_that_answers_for_too_few_is_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        by_key("aa", lambda members: [torch.zeros(1)])
