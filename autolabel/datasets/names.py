"""Names: of files, that every system takes; as others wrote them; in cells of a table."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping

from autolabel.errors import AutolabelError

_LONGEST = 230  # bytes; file systems take 255, and an id and an ending come after
_ILLEGAL = re.compile(r'[<>:"/\\|?*]')
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ROBOFLOW = re.compile(r"(.+)_([A-Za-z]{3,5})\.rf\.[0-9A-Za-z]{8,}\.[A-Za-z]{3,5}", re.DOTALL)
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


def original_names(name: str) -> tuple[str, ...]:
    """Return what a file may have been called before Roboflow named it, the latest name first.

    Roboflow writes ``NAME_ENDING.rf.HASH.ENDING``, with ``-`` for what is neither letter nor digit
    in the name, and does so again where its own export is uploaded. In COCO it gives the name as
    it was, in `extra` of the image.

    >>> original_names("IMG-1_JPG.rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9.jpg"), original_names("a.jpg")
    (('IMG-1.JPG',), ())
    >>> original_names("a_png.rf.0123456789abcdef_jpg.rf.fedcba9876543210.jpg")
    ('a_png.rf.0123456789abcdef.jpg', 'a.png')
    """
    found: list[str] = []
    while match := _ROBOFLOW.fullmatch(found[-1] if found else name):
        found.append(f"{match[1]}.{match[2]}")
    return tuple(found)


def xml_text(text: str) -> str:
    """Return a text that XML can hold.

    >>> xml_text("a < b"), xml_text("чашка")
    ('a < b', 'чашка')

    Raises:
        AutolabelError: it holds a control character, which no XML file may.
    """
    if _NOT_XML.search(text):
        raise AutolabelError(
            f"{text!r} holds a character that XML cannot", hint="give it another name"
        )
    return text


def to_cell(text: str) -> str:
    """Return a text for a cell of a table that no spreadsheet takes for a formula.

    One that begins like a formula gets an apostrophe, which spreadsheets take for "this is text";
    `from_cell` takes it away again.

    >>> [to_cell(text) for text in ("cat", "=1+1", "-", "'tis", "'=1")]
    ['cat', "'=1+1", "'-", "'tis", "''=1"]
    """
    return f"'{text}" if _FORMULA.match(text) else text


def from_cell(text: str) -> str:
    """Return what `to_cell` was given.

    >>> [from_cell(text) for text in ("cat", "'=1+1", "'-", "'tis", "''=1")]
    ['cat', '=1+1', '-', "'tis", "'=1"]
    """
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


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
