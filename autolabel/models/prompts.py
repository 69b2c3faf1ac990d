"""What every detector by text does with prompts and their scores.

A query is one place where a model looks; it belongs to the prompt that scores highest there, and so
to that prompt's class. Prompts of one class and negatives take part alike, so a class's score is
that of its best prompt, and a query that a negative wins is no class's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.errors import AutolabelError
from autolabel.models.base import NEGATIVE
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Pixels, Vectors
from autolabel.types import Objects

Pair = tuple[str | None, str]
"""Class and prompt; a negative's class is None."""


def split(
    ontology: Ontology, length: Callable[[str], int], room: int, longest: int
) -> list[tuple[Pair, ...]]:
    """Return the prompts in groups that fit into a model's text, the negatives in each.

    Args:
        ontology: classes and prompts.
        length: tokens that a prompt takes, its separator included.
        room: tokens that all prompts of a group may take.
        longest: the model's text length, for the message.

    Raises:
        AutolabelError: a prompt does not fit beside the negatives.
    """
    pairs = ontology.pairs()
    negative = tuple(pair for pair in pairs if pair[0] is None)
    room -= sum(length(prompt) for _, prompt in negative)
    groups: list[list[Pair]] = []
    left = 0
    for name, prompt in pairs:
        if name is None:
            continue
        need = length(prompt)
        if need > room:
            raise AutolabelError(
                f"prompt {prompt[:40]!r} and the negatives are over the model's {longest} tokens",
                hint="shorten the prompt, or use fewer negatives",
            )
        if need > left:
            groups.append([])
            left = room
        groups[-1].append((name, prompt))
        left -= need
    return [(*group, *negative) for group in groups]


def refuse_long(prompts: Sequence[str], length: Callable[[str], int], longest: int) -> None:
    """Stop where a model that reads prompts one by one would cut one of them.

    Raises:
        AutolabelError: a prompt takes more than `longest` tokens.
    """
    for prompt in prompts:
        count = length(prompt)
        if count > longest:
            raise AutolabelError(
                f"prompt {prompt[:40]!r} has {count} tokens, over the model's {longest}",
                hint="shorten the prompt",
            )


def best_of(
    pairs: Sequence[Pair],
    boxes_xyxy: npt.NDArray[np.floating[Any]],
    scores: Vectors,
    min_score: float,
    evidence: Mapping[str, Vectors] | None = None,
) -> Objects:
    """Return the queries of one image that reach a score, each with its best prompt.

    Args:
        pairs: the prompts and their classes.
        boxes_xyxy: a box for every query, absolute pixels, (queries, 4).
        scores: of every prompt for every query, in [0, 1], (queries, prompts).
        min_score: lowest score to return.
        evidence: other scores by name, each (queries,).
    """
    best = scores.argmax(axis=1)
    score = scores[np.arange(len(best)), best]
    chosen = np.flatnonzero(score >= min_score)
    named = {"detector": score, **(evidence or {})}
    return Objects.create(
        [label(pairs[best[i]]) for i in chosen],
        score[chosen],
        boxes_xyxy[chosen],
        prompt=[pairs[best[i]][1] for i in chosen],
        scores=[{name: float(values[i]) for name, values in named.items()} for i in chosen],
    )


def label(pair: Pair) -> str:
    """Return the label of a box that a prompt won."""
    return NEGATIVE if pair[0] is None else pair[0]


def to_xyxy(boxes: Vectors, sizes_wh: Vectors) -> Vectors:
    """Convert relative centre boxes (images, queries, 4) to corners in pixels of each image."""
    centre, size = boxes[..., :2], boxes[..., 2:]
    corners = np.concatenate([centre - 0.5 * size, centre + 0.5 * size], axis=-1)
    scaled: Vectors = corners * np.tile(sizes_wh, 2)[:, None, :]
    return scaled


def sizes_wh(images: Sequence[Pixels]) -> Vectors:
    """Return width and height of each image, pixels, (n, 2)."""
    return np.array([image.shape[1::-1] for image in images], np.float32)


def merge(parts: Sequence[Objects]) -> Objects:
    """Return the objects of several passes over one image as one."""
    if len(parts) == 1:
        return parts[0]
    names = Objects.__dataclass_fields__
    return Objects(**{n: np.concatenate([getattr(p, n) for p in parts]) for n in names})
