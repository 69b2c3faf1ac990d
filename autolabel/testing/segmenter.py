"""What every segmenter must do, whatever its family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from autolabel import registry
from autolabel.models.base import Segmented, Segmenter
from autolabel.ops.arrays import Pixels
from autolabel.ops.masks import areas
from autolabel.testing.batches import SCORES_WITHIN, blobs, orders, photos
from autolabel.testing.expect import drawn, expect

BOXES = np.array([[4, 4, 30, 40], [50, 10.5, 90, 60], [0, 0, 96, 64], [10, 50, 18, 60]], np.float32)


def photo() -> Pixels:
    """Return a photo of 96 × 64 pixels that `BOXES` lie in."""
    return blobs(96, 64, rows=6, columns=8)


def check_segmenter(model: str | Path, device: str = "cpu") -> None:
    """Check a segmenter against everything that `autolabel.models.base.Segmenter` promises.

    Args:
        model: as of `--model`: a registered name, or the checkpoint's folder or file. A small one
            with random weights will do, if its masks are neither empty nor full.
        device: where it runs.

    Raises:
        ContractError: a promise is not kept.
        AutolabelError: there is no such model, or it does not load.
    """
    segmenter: Segmenter = registry.load(registry.locate("segmenter", str(model)), device)
    for check in SEGMENTER_CHECKS:
        check(segmenter)


def segment(
    segmenter: Segmenter, image: Pixels, boxes: npt.ArrayLike, *, multimask: bool = True
) -> Segmented:
    """Return the masks of boxes, checked.

    Raises:
        ContractError: a promise is not kept.
    """
    prompts = np.asarray(boxes, np.float32).reshape(-1, 4)
    found = segmenter.segment(image, prompts, multimask=multimask, box_agreement=0.5)
    count, size = len(prompts), image.shape[:2]
    expect(len(found.masks) == count, f"{len(found.masks)} masks of {count} boxes")
    expect(all(isinstance(mask, bytes) for mask in found.masks), "a mask is not bytes")
    shape = drawn(found.masks, *size).shape
    expect(shape == (count, *size), f"masks of {shape}, not {(count, *size)}")
    for figures in (found.iou, found.stability):
        expect(figures.dtype == np.float32, f"figures are {figures.dtype}, not float32")
        expect(figures.shape == (count,), f"figures of shape {figures.shape}, not {(count,)}")
        expect(np.isfinite(figures).all(), "a figure is not finite")
    stable = ((found.stability >= 0) & (found.stability <= 1)).all()
    expect(stable, "a stability is not within [0, 1]")
    return found


def no_boxes(segmenter: Segmenter) -> None:
    """No boxes have no masks."""
    segment(segmenter, photo(), [])


def boxes_at_once(segmenter: Segmenter) -> None:
    """Boxes one by one have the masks that they have at once."""
    image = photo()
    for count in (1, 4, 40):
        corners = np.random.default_rng(0).uniform(0, 60, (count, 2, 2))
        boxes = np.sort(corners, axis=1).reshape(count, 4)
        boxes[:, 2:] += 4
        for multimask in (True, False):
            together = segment(segmenter, image, boxes, multimask=multimask)
            for i in range(0, count, 13):
                alone = segment(segmenter, image, boxes[i], multimask=multimask)
                moved = abs(float(alone.iou[0] - together.iou[i]))
                expect(moved < 1e-4, f"among {count} boxes an IoU moves by {moved}")
                first, second = drawn([alone.masks[0], together.masks[i]], *image.shape[:2])
                share = np.mean(first != second)  # a pixel at the very edge may move
                expect(share < 0.005, f"among {count} boxes {share:.1%} of the pixels change")


def a_photo_alone(segmenter: Segmenter) -> None:
    """The masks of a photo are its own, whatever was segmented before."""
    mixed = [p for p in photos() if min(p.shape[:2]) > 20]
    whole = [np.array([[0, 0, p.shape[1] * 0.7, p.shape[0]], [2, 2, 20, 20]]) for p in mixed]
    first = [segment(segmenter, *one) for one in zip(mixed, whole, strict=True)]
    for order in orders(len(mixed)):
        for i in order:
            again = segment(segmenter, mixed[i], whole[i])
            expect(again.masks == first[i].masks, "a photo has other masks after other photos")
            moved = np.abs(again.iou - first[i].iou).max()
            expect(moved < SCORES_WITHIN, f"after other photos an IoU moves by {moved}")


def odd_sizes(segmenter: Segmenter) -> None:
    """Pixelss of one pixel, panoramas, grey ones, and a box around all of a photo."""
    for width, height in [(1, 1), (10, 200), (200, 10), (2, 3)]:
        boxes = np.array([[0, 0, width, height], [0, 0, width / 2, height]])
        segment(segmenter, blobs(width, height), boxes)
    segment(segmenter, np.full((64, 96, 3), 128, np.uint8), BOXES)
    found = segment(segmenter, photo(), [0, 0, 96, 64])
    expect(areas(found.masks, 64, 96)[0] <= 96 * 64, "a mask is larger than its photo")


def photos_stay_as_they_are(segmenter: Segmenter) -> None:
    """A photo is not written to."""
    image = photo()
    before = image.copy()
    image.setflags(write=False)
    segment(segmenter, image, BOXES)
    expect(np.array_equal(image, before), "the segmenter wrote to the photo")


def masks_say_something(segmenter: Segmenter) -> None:
    """Masks are neither empty nor full; else the other checks show nothing."""
    share = drawn(segment(segmenter, photo(), BOXES).masks, 64, 96).mean()
    expect(0.01 < share < 0.99, f"masks take {share:.1%} of the photo; other weights show more")


SEGMENTER_CHECKS: tuple[Callable[[Segmenter], None], ...] = (
    no_boxes,
    boxes_at_once,
    a_photo_alone,
    odd_sizes,
    photos_stay_as_they_are,
    masks_say_something,
)
"""Each raises `ContractError`."""
