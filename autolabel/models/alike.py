"""Images of one size go through a model together, and no others.

A processor that is handed images of several sizes pads them to the largest, and padding reaches the
result: transformers' Grounding DINO gives other boxes beside a larger photo. So each image is
prepared by itself, and what was prepared to one size makes one batch. Then what is found in an
image is what is found in it alone, but for the rounding of floats.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, TypeVar

import torch
from transformers.image_transforms import get_size_with_aspect_ratio

from autolabel.ops.arrays import Pixels

Inputs = Mapping[str, torch.Tensor]
"""What a processor makes of images, each tensor of one row an image."""

Found = TypeVar("Found")


def by_key(keys: Sequence[Hashable], work: Callable[[list[int]], Sequence[Found]]) -> list[Found]:
    """Return results of items that are worked on together where their keys are equal.

    Args:
        keys: one for each item.
        work: takes the indices of items with one key, in order, and gives a result for each.

    >>> by_key("aba", lambda members: [f"{i} of {members}" for i in members])
    ['0 of [0, 2]', '1 of [1]', '2 of [0, 2]']
    """
    alike: dict[Hashable, list[int]] = defaultdict(list)
    for i, key in enumerate(keys):
        alike[key].append(i)
    found: dict[int, Found] = {}
    for members in alike.values():
        found |= dict(zip(members, work(members), strict=True))
    return [found[i] for i in range(len(keys))]


def in_sizes(
    image_processor: Any,
    images: Sequence[Pixels],
    forward: Callable[[list[int], Inputs], Sequence[Found]],
) -> list[Found]:
    """Return results of images, prepared one by one and passed on in batches of one size.

    Args:
        image_processor: the library's, of the checkpoint.
        images: RGB, uint8 (height, width, 3).
        forward: takes the indices of images with inputs of one size, and those inputs; gives a
            result for each.
    """
    prepared = [
        image_processor(images=[image], input_data_format="channels_last", return_tensors="pt")
        for image in images
    ]
    sizes = [tuple(one["pixel_values"].shape) for one in prepared]

    def work(members: list[int]) -> Sequence[Found]:
        rows = [prepared[i] for i in members]
        return forward(members, {name: torch.cat([r[name] for r in rows]) for name in rows[0]})

    return by_key(sizes, work)


def input_size(image_processor: Any, width: int, height: int) -> tuple[int, int]:
    """Return height and width to which the library's processor brings an image, if known ahead.

    Two images that it brings to one size get equal answers wherever the size is a square or follows
    the shorter side; for other rules the answer is the image's own size.
    """
    size = image_processor.size
    if size.get("height") and size.get("width"):
        return int(size["height"]), int(size["width"])
    if size.get("shortest_edge") and size.get("longest_edge") and width and height:
        scaled = get_size_with_aspect_ratio(
            (height, width), size["shortest_edge"], size["longest_edge"]
        )
        return int(scaled[0]), int(scaled[1])
    return height, width
