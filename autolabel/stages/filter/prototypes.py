"""The prototypes of each class: the crops that are typical of it, found over the whole layer.

A crop is judged by its distance to the nearest of them, not to their mean: a class may have several
looks.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.ops.arrays import Floats, Vectors
from autolabel.reading import parse_arrays
from autolabel.types import Record

LARGEST_FIT = 2**31
"""Bytes of a file that keeps what is learned; 500 classes of 1024 numbers a crop take it."""

NEAR_ZERO = 1e-6
"""Cosine distance under which a prototype is taken for the crop itself; no distance is less."""

MOST_PROTOTYPES = 2000
"""Prototypes of a class at most; of more, so many are taken at even steps."""

LARGEST_SAMPLE = 8000
"""Labels of a class that its prototypes are found among at most, so that memory stays bounded."""

ROUNDS = 10
"""Rounds in which a class's centre is found; it settles in three or four."""


@dataclass(frozen=True, eq=False)
class Prototypes:
    """For each class the crops that are typical of it.

    Attributes:
        members: class -> float32 (m, d), of length one.
        median_distance: class -> median cosine distance of its labels to its prototypes.
        neighbours: how many of the nearest prototypes a distance is the mean over.
    """

    members: Mapping[str, Vectors]
    median_distance: Mapping[str, float]
    neighbours: int

    def to_bytes(self) -> bytes:
        """Return the file that keeps them; the same prototypes give the same bytes."""
        names = list(self.members)
        # The names in the file are older than those in the code: workspaces hold such files.
        arrays: dict[str, npt.NDArray[Any]] = {
            "names": np.array(names, dtype=str),
            "usual": np.array([self.median_distance[name] for name in names], np.float64),
            "neighbours": np.array(self.neighbours),
        }
        arrays |= {f"crowd{i}": self.members[n].astype(np.float16) for i, n in enumerate(names)}
        sink = io.BytesIO()
        np.savez_compressed(sink, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Prototypes:
        """Read what `to_bytes` gave.

        Raises:
            ValueError: the bytes are damaged.
        """
        arrays = parse_arrays(data, LARGEST_FIT)
        try:
            names = [str(name) for name in arrays["names"]]
            members = {n: arrays[f"crowd{i}"].astype(np.float32) for i, n in enumerate(names)}
            medians = dict(zip(names, arrays["usual"].tolist(), strict=True))
            neighbours = int(arrays["neighbours"])
        except (KeyError, TypeError) as e:
            raise ValueError(f"damaged: {e}") from e
        widths = {m.shape[1] if m.ndim == 2 and m.size else 0 for m in members.values()}
        if neighbours < 1 or len(widths) > 1 or 0 in widths:
            raise ValueError("damaged")
        return cls(members, medians, neighbours)


def find_prototypes(
    labels: Iterable[tuple[str, Vectors]], *, neighbours: int, share: float
) -> Prototypes:
    """Find each class's prototypes among its labels.

    They are the `share` of them that lie nearest to the class's centre, and the centre is the mean
    of those: the start is the middle of every coordinate, which a minority of wrong labels cannot
    move far, and each round drops the rest (a least trimmed mean, Rousseeuw 1984).

    Args:
        labels: class and vector (d,), of length one, of each label.
        neighbours: see `Prototypes`.
        share: in (0, 1].
    """
    samples: dict[str, _Sample] = {}
    for name, vector in labels:
        samples.setdefault(name, _Sample([])).add(vector)
    members, medians = {}, {}
    for name in sorted(samples):
        vectors = np.stack(samples[name].rows)
        members[name] = _typical(vectors, share).astype(np.float16).astype(np.float32)
        distances = neighbour_distances(vectors, members[name], neighbours)
        known = distances[np.isfinite(distances)]
        medians[name] = float(np.median(known)) if len(known) else 1.0
    return Prototypes(members, medians, neighbours)


def kept_labels(records: Iterable[Record], key: str) -> Iterator[tuple[str, Vectors]]:
    """Yield the class and the vector of every label that is kept, in images that are in use.

    Args:
        records: those of `join_vectors`.
        key: where they have the vectors (see `vector_key`).
    """
    for record in records:
        if record.usable and record.vectors is not None and len(record.objects):
            vectors = record.vectors[key]
            for i in np.flatnonzero(record.objects.keep):
                yield str(record.objects.label[i]), vectors[i]


@dataclass
class _Sample:
    """Rows at even steps of a stream of any length, between half of `LARGEST_SAMPLE` and all."""

    rows: list[Vectors]
    seen: int = 0
    step: int = 1

    def add(self, row: Vectors) -> None:
        if self.seen % self.step == 0:
            self.rows.append(row)
        self.seen += 1
        if len(self.rows) > LARGEST_SAMPLE:
            self.rows, self.step = self.rows[::2], 2 * self.step


def _typical(vectors: Vectors, share: float) -> Vectors:
    most = MOST_PROTOTYPES / share
    if len(vectors) > most:
        vectors = vectors[np.linspace(0, len(vectors) - 1, int(most)).astype(int)]
    count = max(round(share * len(vectors)), 1)
    centre = np.median(vectors, axis=0)
    chosen = np.arange(0)
    for _ in range(ROUNDS):
        nearest = np.sort(np.argsort(-(vectors @ centre), kind="stable")[:count])
        if np.array_equal(nearest, chosen):
            break
        chosen = nearest
        centre = vectors[chosen].mean(axis=0)
    typical: Vectors = vectors[chosen]
    return typical


def neighbour_distances(vectors: Vectors, prototypes: Vectors, neighbours: int) -> Floats:
    """Return the mean cosine distance of each crop to its nearest prototypes, itself left out.

    Infinite where there is no prototype but the crop itself.

    Args:
        vectors: (n, d), each of length one.
        prototypes: of one class, (m, d).
        neighbours: how many of the nearest the mean is over.

    Returns:
        (n,) distances in [0, 2].
    """
    distances = 1.0 - vectors.astype(np.float64) @ prototypes.T.astype(np.float64)
    distances[distances < NEAR_ZERO] = np.inf
    count = min(neighbours, len(prototypes))
    nearest = np.sort(np.partition(distances, count - 1, axis=1)[:, :count], axis=1)
    finite = np.isfinite(nearest)
    known = finite.sum(axis=1)
    total = np.where(finite, nearest, 0.0).sum(axis=1)
    mean: Floats = np.where(known > 0, total / np.maximum(known, 1), np.inf)
    return mean
