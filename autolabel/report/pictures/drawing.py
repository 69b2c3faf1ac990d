"""Labels drawn on pixels, in the same way wherever people look at them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from autolabel.errors import AutolabelError
from autolabel.ops.arrays import Bools, Pixels
from autolabel.ops.hush import supervision
from autolabel.ops.images import ImageError, read_image
from autolabel.ops.masks import decode
from autolabel.sources import from_uri
from autolabel.types import Record

PALETTE = ("#1769e0", "#0b8a4a", "#b5560a", "#7b3fc4", "#0b8793", "#c2277f", "#6b6b00", "#4a4a4a")
"""Colours of the classes, by their ids; beyond the last the first comes again."""

REJECTED = "#d11a2a"

_EVIDENCE = ("clip", "dinov2", "sam_iou")


def paint(
    pixels: Pixels,
    boxes_xyxy: npt.NDArray[np.float32],
    ids: Sequence[int],
    *,
    palette: Sequence[str] = PALETTE,
    masks: Bools | None = None,
    texts: Sequence[str] | None = None,
    thickness: int = 2,
    corners: bool = False,
) -> Pixels:
    """Draw boxes, and masks and texts where there are any, on a copy of an image.

    Args:
        pixels: RGB, uint8 (height, width, 3).
        boxes_xyxy: absolute pixels, (n, 4).
        ids: place of each box's colour in the palette.
        palette: colours as ``#rrggbb``.
        masks: (n, height, width).
        texts: one for each box, drawn where they hide little.
        thickness: of the lines, in pixels.
        corners: whether only the corners of a box are drawn.
    """
    if not len(boxes_xyxy):
        return pixels.copy()
    sv = supervision()
    colours = sv.ColorPalette.from_hex(list(palette))
    scene = np.ascontiguousarray(pixels[..., ::-1])  # supervision draws BGR
    found = sv.Detections(xyxy=boxes_xyxy.copy(), class_id=np.asarray(ids), mask=masks)
    if masks is not None:
        scene = sv.MaskAnnotator(color=colours, opacity=0.35).annotate(scene, found)
    line = sv.BoxCornerAnnotator if corners else sv.BoxAnnotator
    scene = line(color=colours, thickness=thickness).annotate(scene, found)
    if texts is not None:
        style = {"text_scale": 0.4, "text_padding": 3, "smart_position": True}
        labels = sv.LabelAnnotator(color=colours, text_color=sv.Color.WHITE, **style)
        scene = labels.annotate(scene, found, labels=list(texts))
    return np.ascontiguousarray(scene[..., ::-1])


def masks_of(
    rles: Sequence[bytes | None], size_wh: tuple[int, int], to_wh: tuple[int, int]
) -> Bools | None:
    """Scale masks to an image that is drawn at another size, (n, height, width).

    They are scaled one by one, so that many masks of a large image do not fill the memory. An
    object without a mask has an empty one; None where no object has one.
    """
    if not any(rle is not None for rle in rles):
        return None
    width, height = size_wh
    scaled = np.zeros((len(rles), to_wh[1], to_wh[0]), bool)
    for i, rle in enumerate(rles):
        if rle is not None:
            dense = Image.fromarray(decode([rle], height, width)[0])
            scaled[i] = np.asarray(dense.resize(to_wh, Image.Resampling.NEAREST))
    return scaled


def read_photo(record: Record, source_root: Path) -> Pixels:
    """Read the picture of a record, RGB, uint8 (height, width, 3).

    Raises:
        AutolabelError: it is gone, unreadable or no longer the same.
    """
    try:
        return read_image(from_uri(record.uri, source_root), record.image_id)
    except ImageError as e:
        raise AutolabelError(
            f"image {record.uri} {e}", hint="if the folder was moved, add --source-root DIR"
        ) from e


def evidence(scores: Mapping[str, float]) -> list[str]:
    """Write the evidence of a label that tells most: ``clip 0.98``."""
    return [f"{name} {scores[name]:.2f}" for name in _EVIDENCE if name in scores]
