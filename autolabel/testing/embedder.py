"""What every embedder must do, whatever its family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np

from autolabel import registry
from autolabel.models.base import Embedder, ImageTextEmbedder, batch_size_of
from autolabel.ops.arrays import Vectors
from autolabel.testing.batches import blobs, in_batches, orders, photos
from autolabel.testing.expect import expect

TEXTS = ["a photo of a cat.", "a dog", "nothing"]


def check_embedder(model: str | Path, task: str = "image-text", device: str = "cpu") -> None:
    """Check an embedder against everything that `autolabel.models.base.Embedder` promises.

    Args:
        model: as of `--clip` and `--dinov2`: a registered name, or the checkpoint's folder. A small
            one with random weights will do, if crops make a difference to it.
        task: `image-text`, which is checked as an `ImageTextEmbedder` too, or `image`.
        device: where it runs.

    Raises:
        ContractError: a promise is not kept.
        AutolabelError: there is no such model, or it does not load.
    """
    embedder: Embedder = registry.load(registry.locate(task, str(model)), device)
    for check in EMBEDDER_CHECKS:
        check(embedder)
    if task == "image-text":
        for check_texts in TEXT_CHECKS:
            check_texts(cast(ImageTextEmbedder, embedder))


def as_promised(vectors: Vectors, count: int, embedder: Embedder) -> None:
    """Check so many vectors.

    Raises:
        ContractError: a promise is not kept.
    """
    shape = count, embedder.dimensions
    expect(vectors.shape == shape, f"vectors of shape {vectors.shape}, not {shape}")
    expect(vectors.dtype == np.float32, f"vectors are {vectors.dtype}, not float32")
    expect(np.isfinite(vectors).all(), "a vector is not finite")
    lengths = np.linalg.norm(vectors, axis=1)
    expect((np.abs(lengths - 1) < 1e-5).all(), f"vectors of length {lengths}, not 1")


def odd_crops(embedder: Embedder) -> None:
    """No crops, crops of one pixel, of odd shapes and grey ones have their vectors."""
    none = embedder.embed_images([]).shape
    expect(none == (0, embedder.dimensions), f"no crops have vectors of shape {none}")
    for width, height in [(1, 1), (10, 200), (200, 10), (2, 3)]:
        as_promised(embedder.embed_images([blobs(width, height)]), 1, embedder)
    as_promised(embedder.embed_images([np.full((40, 40, 3), 128, np.uint8)]), 1, embedder)


def a_crop_alone(embedder: Embedder) -> None:
    """The vector of a crop is that of the crop alone, in whatever batch and order."""
    expect(batch_size_of(embedder) > 0, "batch_size is not a positive number")
    crops = photos()
    before = [crop.copy() for crop in crops]
    alone = np.concatenate([embedder.embed_images([crop]) for crop in crops])
    as_promised(alone, len(crops), embedder)
    for size in (3, len(crops)):
        for order in orders(len(crops)):
            shuffled = [crops[i] for i in order]
            found = in_batches(lambda some: [*embedder.embed_images(some)], shuffled, size)
            moved = np.abs(np.stack(found) - alone[order]).max()
            expect(moved < 1e-5, f"{size} crops at once move a vector by {moved}")
    expect(all(map(np.array_equal, before, crops)), "the embedder wrote to the crops")


def other_crops(embedder: Embedder) -> None:
    """Other crops have other vectors; else the other checks show nothing."""
    first, second = embedder.embed_images([blobs(20, 20, 0), blobs(29, 29, 1)])
    expect(np.abs(first - second).max() > 1e-3, "crops make no difference to the vectors")


def texts_at_once(embedder: ImageTextEmbedder) -> None:
    """Texts one by one have the vectors that they have at once; other texts have others."""
    together = embedder.embed_texts(TEXTS)
    as_promised(together, len(TEXTS), embedder)
    for text, vector in zip(TEXTS, together, strict=True):
        moved = np.abs(embedder.embed_texts([text])[0] - vector).max()
        expect(moved < 1e-5, f"other texts move the vector of {text!r} by {moved}")
    expect(np.abs(together[0] - together[1]).max() > 1e-4, "texts make no difference")
    none = embedder.embed_texts([]).shape
    expect(none == (0, embedder.dimensions), f"no texts have vectors of shape {none}")
    as_promised(embedder.embed_texts(["a photo of a cat"] * 40), 40, embedder)


EMBEDDER_CHECKS: tuple[Callable[[Embedder], None], ...] = (odd_crops, a_crop_alone, other_crops)
"""Each raises `ContractError`."""

TEXT_CHECKS: tuple[Callable[[ImageTextEmbedder], None], ...] = (texts_at_once,)
"""Of those that read texts too."""
