"""A layer of a workspace, for reading: records, and what other libraries take."""

from __future__ import annotations

import importlib
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from autolabel.api.detections import to_supervision
from autolabel.ontology import Ontology
from autolabel.sources import from_uri
from autolabel.stages.labels import classes_of
from autolabel.store import Counts
from autolabel.store import Layer as StoredLayer
from autolabel.store import Workspace as Store
from autolabel.types import Record


class Layer:
    """What one stage found in every image, as it is at this moment.

    Iterating gives a `Record` for each image, in their order; one shard is in memory at a time.

    Attributes:
        name: of the layer, as ``detect``.
        path: its folder.
    """

    def __init__(self, store: Store, layer: StoredLayer) -> None:
        self._store = store
        self._layer = layer.snapshot()
        self.name = layer.name
        self.path = layer.path
        # The last shard that was read stays: images are mostly asked for in their order.
        self._last: tuple[int, list[Record]] = (-1, [])

    def __repr__(self) -> str:
        return f"<autolabel.Layer {self.name!r} of {str(self._store.path)!r}>"

    def __len__(self) -> int:
        """Return the number of images."""
        return self._ends[-1] if self._ends else 0

    def __iter__(self) -> Iterator[Record]:
        yield from self._layer

    def __getitem__(self, index: int) -> Record:
        """Return one image's record; a negative index counts from the end.

        Raises:
            IndexError: there are not so many images.
        """
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"{self.name}/ has {len(self)} images, none of index {index}")
        place = bisect_right(self._ends, at)
        if self._last[0] != place:
            self._last = place, self._layer.read(self._layer.shards()[place])
        return self._last[1][at - self._ends[place]]

    @cached_property
    def _ends(self) -> list[int]:
        """Numbers of images up to the end of each shard; the layer is a snapshot."""
        return list(accumulate(map(self._layer.rows, self._layer.shards())))

    @property
    def settings(self) -> dict[str, Any]:
        """The settings that the layer was made with."""
        return dict(self._layer.manifest.settings)

    @cached_property
    def ontology(self) -> Ontology:
        """The classes and prompts that the labels come from; class ids are their order.

        Raises:
            AutolabelError: the layer has no labels.
        """
        return classes_of(self._store, self._layer)

    @property
    def counts(self) -> Counts:
        """Counts of images, objects, kept objects and errors."""
        return self._layer.counts()

    def image_path(self, index: int) -> Path:
        """Return where the file of an image lies."""
        return from_uri(self[index].uri, self._store.source_root)

    def to_arrow(self) -> pa.Table:
        """Return all rows as one Arrow table; see the reference of the columns."""
        return self._layer.to_arrow()

    def to_pandas(self) -> Any:
        """Return a `pandas.DataFrame` with a row for each object, and its image's id and ``uri``.

        Boxes are in the columns ``x_min``, ``y_min``, ``x_max`` and ``y_max``, in pixels of the
        upright image; ``scores`` holds a dict of named evidence. Rejected objects have ``keep``
        False and a ``reason``.

        Raises:
            ImportError: pandas is not installed.
        """
        pd = importlib.import_module("pandas")  # no dependency of autolabel's own

        rows: list[dict[str, Any]] = []
        for record in self:
            found = record.objects
            for i, (label, score) in enumerate(zip(found.label, found.score, strict=True)):
                x_min, y_min, x_max, y_max = found.xyxy[i].tolist()
                rows.append(
                    {
                        "image_id": record.image_id, "uri": record.uri,
                        "label": label, "score": float(score),
                        "x_min": x_min, "y_min": y_min, "x_max": x_max, "y_max": y_max,
                        "keep": bool(found.keep[i]), "reason": found.reason[i],
                        "prompt": found.prompt[i], "scores": found.scores[i],
                    }
                )  # fmt: skip
        return pd.DataFrame(rows, columns=_COLUMNS)

    def to_supervision(self, index: int, *, rejected: bool = False) -> Any:
        """Return the objects of one image as `supervision.Detections`.

        See `autolabel.api.detections.to_supervision`; besides, ``data`` holds ``reason``, why an
        object was rejected.

        Args:
            index: of the image.
            rejected: whether rejected objects are among them.

        Raises:
            IndexError: there are not so many images.
            AutolabelError: the layer has no labels.
        """
        record = self[index]
        objects = record.objects if rejected else record.objects.kept
        found = to_supervision(objects, self.ontology.names, record.height, record.width)
        found.data["reason"] = np.array([reason or "" for reason in objects.reason], str)
        return found


_COLUMNS = [
    "image_id", "uri", "label", "score", "x_min", "y_min", "x_max", "y_max",
    "keep", "reason", "prompt", "scores",
]  # fmt: skip
