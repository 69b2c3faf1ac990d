"""Which images go to which split: near duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence


def held_back(
    groups: Mapping[str, str], val_share: float, test_share: float, seed: int
) -> dict[str, str]:
    """Return image id -> ``val`` or ``test``, of the images that are not learned from.

    Groups go to a split whole. The seed and their names give them an order; val takes from its
    beginning and test from its end, each until its share is reached, so that either grows by what
    was in train. A group that would overshoot a share by more than is missing is passed over. No
    split that is asked for is left empty, train included, where there are as many groups.

    Args:
        groups: image id -> its group.
        val_share, test_share: of the images, each in [0, 1), together below 1.
        seed: of the order.

    Examples:
        >>> split = held_back({name: name for name in "abcdefghij"}, 0.2, 0.3, 0)
        >>> sorted(split.values())
        ['test', 'test', 'test', 'val', 'val']
    """
    members: dict[str, list[str]] = {}
    for image_id, group in groups.items():
        members.setdefault(group, []).append(image_id)
    order = sorted(members, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).hexdigest())
    sizes = {group: len(images) for group, images in members.items()}
    chosen: dict[str, str] = {}
    for split, share, others in (("val", val_share, 1 + (test_share > 0)), ("test", test_share, 1)):
        left = [group for group in order if group not in chosen]
        if split == "test":
            left.reverse()
        most = max(len(left) - others, min(1, len(left) - 1))
        if share and most:
            wanted = max(1, round(share * len(groups)))
            chosen |= dict.fromkeys(_fill(left, sizes, wanted)[:most], split)
    return {i: split for group, split in chosen.items() for i in members[group]}


def _fill(order: Sequence[str], sizes: Mapping[str, int], wanted: int) -> list[str]:
    """Return the first groups that make so many images, at least one."""
    chosen: list[str] = []
    count = 0
    for group in order:
        if count < wanted and count + sizes[group] - wanted <= wanted - count:
            chosen.append(group)
            count += sizes[group]
    return chosen or [min(order, key=lambda group: sizes[group])]
