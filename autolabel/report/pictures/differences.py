"""Two sets of labels of one photo side by side, what is different in the colour of what became."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from autolabel.corrections.diff import ADDED, MOVED, RELABELLED, REMOVED, SAME, ImageDiff
from autolabel.ops.arrays import Pixels
from autolabel.report.pictures.drawing import paint
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.types import Objects

COLOURS = {
    SAME: "#8a8f98", MOVED: "#1769e0", RELABELLED: "#7b3fc4", ADDED: "#0b8a4a", REMOVED: "#d11a2a",
}  # fmt: skip
_GAP, _HEAD = 8, 44  # pixels
_INK = "#1b1f24"


def draw_difference(
    one: ImageDiff, photos: PhotoReader, titles: tuple[str, str]
) -> Image.Image | None:
    """Draw a photo twice: what it had at the left, what it has at the right; None if it is gone.

    Args:
        one: what is different in it.
        photos: of which it is one.
        titles: what both sides are called.
    """
    pixels = photos.pixels(one.record)
    if pixels is None:
        return None
    found = one.matches
    before = {SAME: [i for i, _ in found.same], MOVED: [i for i, _ in found.moved],
              RELABELLED: [i for i, _ in found.relabelled], REMOVED: found.removed}  # fmt: skip
    after = {SAME: [j for _, j in found.same], MOVED: [j for _, j in found.moved],
             RELABELLED: [j for _, j in found.relabelled], ADDED: found.added}  # fmt: skip
    panels = [_panel(pixels, one.before, before), _panel(pixels, one.after, after)]
    height, width = pixels.shape[:2]
    page = Image.new("RGB", (2 * width + _GAP, height + _HEAD), "white")
    for x, title, panel, kinds in zip(
        (0, width + _GAP), titles, panels, (before, after), strict=True
    ):
        page.paste(Image.fromarray(panel), (x, _HEAD))
        _head(page, x, width, title, {kind: len(indices) for kind, indices in kinds.items()})
    return page


def _panel(pixels: Pixels, objects: Objects, kinds: Mapping[str, Sequence[int]]) -> Pixels:
    scene = pixels
    for kind, indices in kinds.items():
        chosen = objects[np.asarray(indices, int)]
        texts = None if kind == SAME else [str(label) for label in chosen.label]
        scene = paint(
            scene, chosen.xyxy, [0] * len(chosen), palette=(COLOURS[kind],), texts=texts,
            thickness=1 if kind == SAME else 2,
        )  # fmt: skip
    return scene


def _head(page: Image.Image, x: int, width: int, title: str, counts: dict[str, int]) -> None:
    """Write a panel's title, and below it the legend: each kind in its colour, with its number."""
    draw = ImageDraw.Draw(page)
    font = ImageFont.load_default(14)
    draw.text((x + 4, 3), title, fill=_INK, font=font)
    at = x + 4
    for kind, count in counts.items():
        if count:
            text = f"{count} {kind}"
            draw.text((at, 23), text, fill=COLOURS[kind], font=font)
            at += int(draw.textlength(text, font=font)) + 12
        if at > x + width:
            break
