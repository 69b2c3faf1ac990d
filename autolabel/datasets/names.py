"""File names that every system takes, and a split that keeps near duplicates together."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

_LONGEST = 230  # bytes; file systems take 255, and an id and an ending come after
_ILLEGAL = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def tidy_stem(stem: str) -> str:
    r"""A file name without its ending that Windows, archives and trainers take as well.

    >>> tidy_stem("снимок 1"), tidy_stem("a\nb:c"), tidy_stem(".hidden "), tidy_stem("")
    ('снимок 1', 'a_b_c', '_hidden', 'image')
    """
    text = unicodedata.normalize("NFC", stem)
    text = _ILLEGAL.sub("_", "".join(c if c.isprintable() else "_" for c in text))
    text = text.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore").strip().rstrip(". ")
    if text.startswith("."):
        text = "_" + text[1:]
    return ("_" + text if _RESERVED.match(text) else text) or "image"


def unique_stems(stems: Mapping[str, str]) -> dict[str, str]:
    """A file name for each image id: its tidy stem, and the id too where two would be the same.

    Two names are the same when they differ in case alone, for not every system tells them apart.
    What an image is called depends on no order.

    >>> unique_stems({"0a1b2c3d4e": "x", "5f6a7b8c9d": "X", "9" * 10: "y"})
    {'0a1b2c3d4e': 'x-0a1b2c3d', '5f6a7b8c9d': 'X-5f6a7b8c', '9999999999': 'y'}
    """
    names = {image_id: tidy_stem(stem) for image_id, stem in stems.items()}
    for length in (8, 16, 32):  # a longer piece where a name such as "x-0a1b2c3d" is taken
        counts = Counter(name.casefold() for name in names.values())
        shared = {i: name for i, name in names.items() if counts[name.casefold()] > 1}
        if not shared:
            break
        names |= {i: f"{tidy_stem(stems[i])}-{i[:length]}" for i in shared}
    return names


def val_images(groups: Mapping[str, str], share: float, seed: int) -> set[str]:
    """The image ids of the val split.

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
