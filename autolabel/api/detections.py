"""Objects as `supervision.Detections`, which the field's tools draw, track and measure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from autolabel.ops.hush import supervision
from autolabel.ops.masks import decode, encode
from autolabel.types import Objects


def to_supervision(objects: Objects, names: Sequence[str], height: int, width: int) -> Any:
    """Return the objects of one image as `supervision.Detections`.

    Args:
        objects: n of them; index with `.kept` first where rejected ones are not wanted.
        names: classes in the order of their ids.
        height, width: of the image, pixels.

    Returns:
        xyxy float32 (n, 4), confidence float32 (n,), class_id int (n,), and mask bool (n, height,
        width) where any object has one; `data` holds class_name and prompt.

    Examples:
        >>> cat = Objects.create(["cat"], [0.9], [[0, 0, 4, 4]])
        >>> found = to_supervision(cat, ["dog", "cat"], 8, 9)
        >>> found.class_id.tolist(), found.data["class_name"].tolist(), found.mask
        ([1], ['cat'], None)
    """
    ids = {name: i for i, name in enumerate(names)}
    masks = None
    if any(mask is not None for mask in objects.mask):
        (nothing,) = encode(np.zeros((1, height, width), bool))
        masks = decode([nothing if m is None else m for m in objects.mask], height, width)
    return supervision().Detections(
        xyxy=objects.xyxy.copy(),
        mask=masks,
        confidence=objects.score.copy(),
        class_id=np.array([ids[label] for label in objects.label], int),
        data={
            "class_name": objects.label.astype(str),
            "prompt": np.array([prompt or "" for prompt in objects.prompt], str),
        },
    )
