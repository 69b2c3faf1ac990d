"""The rows of a layer, asked for image by image."""

from __future__ import annotations

from collections.abc import Collection

from autolabel.store.layer import Layer
from autolabel.types import POOL, Record


class Rows:
    """The records of a layer by their images' ids; the shard that was read last stays in memory.

    Of an image that is there twice the row in use counts, else the first.

    Args:
        layer: does not change while it is read, as a snapshot.
        only: ids of the images that are asked for; None for all.
    """

    def __init__(self, layer: Layer, only: Collection[str] | None = None) -> None:
        self._layer, self._at = layer, dict[str, tuple[int, int]]()
        used: set[str] = set()
        for shard in () if only is not None and not only else layer.shards():
            columns = layer.table(shard, ["image_id", "split", "error"]).to_pydict()
            for row, (one, split, error) in enumerate(zip(*columns.values(), strict=True)):
                if one in used or (only is not None and one not in only):
                    continue
                if split == POOL and error is None:
                    used.add(one)
                    self._at[one] = shard, row
                else:
                    self._at.setdefault(one, (shard, row))
        self._last: tuple[int, list[Record]] = (-1, [])

    def __contains__(self, image_id: str) -> bool:
        return image_id in self._at

    def record(self, image_id: str) -> Record:
        """Return an image's row.

        Raises:
            KeyError: the layer has no such image, or it is none of `only`.
            AutolabelError: its shard is damaged.
        """
        shard, row = self._at[image_id]
        if self._last[0] != shard:
            self._last = shard, self._layer.read(shard)
        return self._last[1][row]
