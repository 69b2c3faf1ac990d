"""File names that every system takes."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

_LONGEST = 230  # bytes; file systems take 255, and an id and an ending come after
_ILLEGAL = re.compile(r'[<>:"/\\|?*]')
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", re.IGNORECASE)


def tidy_stem(stem: str) -> str:
    r"""Return a file name without its ending that Windows, archives and trainers take as well.

    >>> tidy_stem("снимок 1"), tidy_stem("a\nb:c"), tidy_stem(".hidden "), tidy_stem("")
    ('снимок 1', 'a_b_c', '_hidden', 'image')
    """
    text = unicodedata.normalize("NFC", stem)
    text = _ILLEGAL.sub("_", "".join(c if c.isprintable() else "_" for c in text))
    text = text.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore").strip().rstrip(". ")
    if text.startswith("."):
        text = "_" + text[1:]
    return ("_" + text if _RESERVED.match(text) else text) or "image"


def plain_name(text: str, by: str = "_", longest: int = 255) -> str:
    """Return a name of letters, digits, ``_``, ``-`` and ``.`` alone, for what is named by people.

    Args:
        text: as it was given.
        by: what stands for each run of other characters.
        longest: bytes that it may take.

    >>> plain_name("red blood/cell", "-")
    'red-blood-cell'
    """
    return re.sub(r"[^\w.-]+", by, text).encode()[:longest].decode("utf-8", "ignore")


def unique_stems(stems: Mapping[str, str]) -> dict[str, str]:
    """Return a file name for each image id: its tidy stem, with the id where two would be equal.

    Two names are equal when they differ in case alone, for not every system tells them apart.
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
