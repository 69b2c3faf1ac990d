"""What images and crops look like, as vectors that are there already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from autolabel.ops.arrays import Vectors
from autolabel.store import EMBED, Layer, Workspace
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Record

_EMBEDDERS = ("dinov2", "clip")
"""The most preferred one first: DINOv2 tells apart what looks different, CLIP what means so."""
_HASH_BITS = 64


class Appearance:
    """Vectors of length one of the images and objects of a layer, read a shard at a time.

    They come from the embeddings that `filter` left, else of images from their perceptual hashes,
    of which a bit that differs counts alike. What has neither gets zeros, and is like nothing else.

    Args:
        workspace: of the layer.
    """

    def __init__(self, workspace: Workspace) -> None:
        layers = [workspace.layer(f"{EMBED}/{name}") for name in _EMBEDDERS]
        self.layer: Layer | None = next((one.snapshot() for one in layers if one.exists), None)

    def of_shard(self, index: int, records: Sequence[Record]) -> Iterator[tuple[Vectors, Vectors]]:
        """Yield for each record the vector of the image (d,) and those of its objects (n, d).

        Where the embeddings are not of these very objects, each has the vector of the image.
        """
        rows = {}
        if self.layer is not None and index in self.layer.shards():
            rows = {row.image_id: row.vectors or {} for row in self.layer.read(index)}
        for record in records:
            found = rows.get(record.image_id, {})
            whole = found.get(WHOLE)
            image = _of_hash(record) if self.layer is None else None if whole is None else whole[0]
            crops, n = found.get(CROPS), len(record.objects)
            if image is None:
                image = np.zeros(1, np.float32)
            if crops is None or len(crops) != n or not n:
                crops = np.repeat(image[None], n, axis=0)
            yield image, crops


def _of_hash(record: Record) -> Vectors | None:
    if record.phash is None:
        return None
    bits = np.array([(int(record.phash, 16) >> i) & 1 for i in range(_HASH_BITS)], np.float32)
    return (2 * bits - 1) / np.float32(_HASH_BITS**0.5)


def stacked(vectors: Sequence[Vectors]) -> Vectors:
    """Return vectors as the rows of an array (n, d); what has another size than most gets zeros."""
    size = max((len(one) for one in vectors), default=1)
    rows = np.zeros((len(vectors), size), np.float32)
    for row, one in zip(rows, vectors, strict=True):
        if len(one) == size:
            row[:] = one
    return rows
