"""Sheets of crops, each with the name of its photo and what is to be said of it."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw, ImageFont

from autolabel.ops.arrays import Pixels
from autolabel.report.pictures.drawing import PALETTE, REJECTED

CELL, CAPTION, MARGIN = 116, 60, 6
"""Sides of a sheet's cell, of the text under it, and of the space around it, in pixels."""

COLUMNS = 8


@dataclass(frozen=True)
class Crop:
    """One cell of a sheet: the picture, the photo that it is cut from, and what is said of it."""

    pixels: Pixels
    photo: str
    caption: str
    kept: bool


def sheet(blocks: Sequence[tuple[str, Sequence[Crop]]]) -> Image.Image:
    """Draw blocks of crops side by side, each with its title."""
    columns = COLUMNS if len(blocks) == 2 else 2 * COLUMNS
    drawn = [_block(title, crops, columns) for title, crops in blocks]
    whole = Image.new("RGB", (sum(b.width for b in drawn), max(b.height for b in drawn)), "white")
    left = 0
    for block in drawn:
        whole.paste(block, (left, 0))
        left += block.width
    return whole


def _block(title: str, crops: Sequence[Crop], columns: int) -> Image.Image:
    columns = min(columns, max(len(crops), 3))
    lines = -(-len(crops) // columns)
    wide, high = CELL + 2 * MARGIN, CELL + CAPTION + 2 * MARGIN
    block = Image.new("RGB", (columns * wide, lines * high + 26), "white")
    pen = ImageDraw.Draw(block)
    pen.text((MARGIN, 7), title, fill="black", font=_font(14))
    for i, crop in enumerate(crops):
        x, y = (i % columns) * wide + MARGIN, (i // columns) * high + 26
        picture = Image.fromarray(crop.pixels).resize((CELL, CELL), Image.Resampling.BICUBIC)
        block.paste(picture, (x, y))
        colour = PALETTE[1] if crop.kept else REJECTED
        pen.rectangle((x - 2, y - 2, x + CELL + 1, y + CELL + 1), outline=colour, width=2)
        lines_below = [_cut(pen, crop.photo), *_wrapped(pen, crop.caption)][: CAPTION // 14]
        for line, text in enumerate(lines_below):
            ink = "black" if line == 0 else colour
            pen.text((x, y + CELL + 4 + 14 * line), text, fill=ink, font=_font(11))
    return block


@functools.cache
def _font(size: int) -> Any:
    return ImageFont.load_default(size)


def _cut(pen: ImageDraw.ImageDraw, name: str) -> str:
    """Return as much of a name as fits under a cell; its end, which numbers photos, stays."""
    shown = "".join(c if c.isprintable() else "?" for c in name)
    for start in range(len(shown)):
        text = f"…{shown[start:]}" if start else shown
        if pen.textlength(text, font=_font(11)) <= CELL + MARGIN:
            return text
    return "…"


def _wrapped(pen: ImageDraw.ImageDraw, text: str) -> list[str]:
    """Break a text into lines that fit under a cell."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and pen.textlength(longer, font=_font(11)) <= CELL + MARGIN:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines
