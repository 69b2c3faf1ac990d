"""Which images go to which split: near duplicates stay together."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping


def val_images(groups: Mapping[str, str], share: float, seed: int) -> set[str]:
    """Return the image ids of the val split.

    Groups go to val whole, in an order that the seed and their names give, until the share is
    reached; one that would overshoot it by more than is missing is passed over. Neither split is
    left empty where there are two groups or more.

    Args:
        groups: image id -> its group.
        share: of the images that go to val, in [0, 1).
        seed: of the order.
    """
    members: dict[str, list[str]] = {}
    for image_id, group in groups.items():
        members.setdefault(group, []).append(image_id)
    if not share or len(members) < 2:
        return set()
    order = sorted(members, key=lambda g: hashlib.sha256(f"{seed}:{g}".encode()).hexdigest())
    wanted = max(1, round(share * len(groups)))
    chosen: list[str] = []
    count = 0
    for group in order:
        size = len(members[group])
        if count < wanted and count + size - wanted <= wanted - count:
            chosen.append(group)
            count += size
    chosen = chosen or [min(order, key=lambda g: len(members[g]))]
    if len(chosen) == len(members):
        chosen.pop()
    return {image_id for group in chosen for image_id in members[group]}
