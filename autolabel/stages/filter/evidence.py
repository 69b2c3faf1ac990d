"""What the embeddings say of each label: chances of the classes, distances to their crowds."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.stages.embed import TextVectors
from autolabel.store.vectors import CROPS
from autolabel.types import Objects, Record

Vectors = npt.NDArray[np.float32]
Floats = npt.NDArray[np.float64]

CLIP, DINOV2 = "clip", "dinov2"
"""The two kinds of embedders: names of their layers, of their evidence and of their vectors."""

SAME = 1e-6
"""Cosine distance under which a crop of the crowd is taken for the crop itself."""

LARGEST_CROWD = 2000
"""Crops that a crowd holds at most; of more, so many are taken at even steps."""

LARGEST_SAMPLE = 8000
"""Labels of a class that its crowd is found among at most, so that memory stays bounded."""

ROUNDS = 10
"""Rounds in which a crowd's centre is found; it settles in three or four."""


# -- image and text -----------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Chances:
    """How likely each label's crop shows its own class, and what else it may show.

    Attributes:
        own: chance of the label's own class, (n,).
        margin: by how much that exceeds the best of everything else, (n,).
        other: name of that best other, (n,).
        whole: chance against background that the whole image shows the label's class, (n,); 1
            where the image was not embedded.
    """

    own: Floats
    margin: Floats
    other: npt.NDArray[np.object_]
    whole: Floats


def chances_of(
    objects: Objects, crops: Vectors, whole: Vectors | None, texts: TextVectors
) -> Chances:
    """Compare crops with the texts of all classes, of the negatives and of background.

    A label whose class the texts do not know has chance 0.
    """
    place = {name: i for i, name in enumerate(texts.names[: texts.classes])}
    own = np.array([place.get(label, -1) for label in objects.label], int)
    rows = np.arange(len(own))
    chances = texts.scoring.chances(crops @ texts.vectors.T).astype(np.float64)
    mine = np.where(own >= 0, chances[rows, own], 0.0)
    rest = chances.copy()
    rest[rows[own >= 0], own[own >= 0]] = -1
    best = rest.argmax(axis=1)
    other = np.array([texts.names[i] for i in best], dtype=object).reshape(len(best))
    seen = np.ones(len(own))
    if whole is not None and len(whole):
        seen = _against_background(whole[0], texts)[own]
    return Chances(mine, mine - rest[rows, best], other, seen)


def _against_background(image: Vectors, texts: TextVectors) -> Floats:
    """For each name the chance that the image shows it, if it shows it or background."""
    cosines = texts.vectors @ image
    pairs = np.stack([cosines, np.full_like(cosines, cosines[-1])], axis=1)
    chances = texts.scoring.chances(pairs).astype(np.float64)
    # A softmax's two add up to one; those of a sigmoid, which judges each text alone, do not.
    shares: Floats = chances[:, 0] / np.maximum(chances.sum(axis=1), np.finfo(np.float32).tiny)
    return shares


# -- images alone -------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Crowds:
    """For each class the crops that are typical of it.

    Attributes:
        members: class -> float32 (m, d), of length one.
        usual: class -> the median distance of its labels to the crowd.
        neighbours: how many members a distance is the mean over.
    """

    members: Mapping[str, Vectors]
    usual: Mapping[str, float]
    neighbours: int

    def to_bytes(self) -> bytes:
        """As the file that keeps them; the same crowds give the same bytes."""
        names = list(self.members)
        arrays: dict[str, npt.NDArray[Any]] = {
            "names": np.array(names, dtype=str),
            "usual": np.array([self.usual[name] for name in names], np.float64),
            "neighbours": np.array(self.neighbours),
        }
        arrays |= {f"crowd{i}": self.members[n].astype(np.float16) for i, n in enumerate(names)}
        sink = io.BytesIO()
        np.savez_compressed(sink, **arrays)  # type: ignore[arg-type]
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Crowds:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: the bytes are damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                names = [str(name) for name in file["names"]]
                members = {n: file[f"crowd{i}"].astype(np.float32) for i, n in enumerate(names)}
                usual = dict(zip(names, file["usual"].tolist(), strict=True))
                return cls(members, usual, int(file["neighbours"]))
        except Exception as e:  # zip files and arrays in them raise nearly anything
            raise ValueError(f"damaged: {e}") from e


def find_crowds(records: Iterable[Record], *, neighbours: int, share: float) -> Crowds:
    """The crowds of the records of `joined`, from their kept labels.

    A crowd is the `share` of a class's labels that lie nearest to its centre, and the centre is the
    mean of those: the start is the middle of every coordinate, which a minority of wrong labels
    cannot move far, and each round drops the rest (a least trimmed mean, Rousseeuw 1984).
    """
    found: dict[str, _Sample] = {}
    for record in records:
        if record.usable and record.vectors is not None and len(record.objects):
            vectors = record.vectors[key(DINOV2, CROPS)]
            for i in np.flatnonzero(record.objects.keep):
                found.setdefault(str(record.objects.label[i]), _Sample([])).add(vectors[i])
    members, usual = {}, {}
    for name in sorted(found):
        vectors = np.stack(found[name].rows)
        members[name] = _typical(vectors, share).astype(np.float16).astype(np.float32)
        distances = distances_to(vectors, members[name], neighbours)
        known = distances[np.isfinite(distances)]
        usual[name] = float(np.median(known)) if len(known) else 1.0
    return Crowds(members, usual, neighbours)


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
    if len(vectors) > LARGEST_CROWD / share:
        vectors = vectors[np.linspace(0, len(vectors) - 1, int(LARGEST_CROWD / share)).astype(int)]
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


def distances_to(vectors: Vectors, crowd: Vectors, neighbours: int) -> Floats:
    """Mean cosine distance of each crop to its nearest members of a crowd, itself left out.

    Infinite where the crowd holds nothing but the crop itself.
    """
    distances = 1.0 - vectors.astype(np.float64) @ crowd.T.astype(np.float64)
    distances[distances < SAME] = np.inf
    count = min(neighbours, len(crowd))
    nearest = np.sort(np.partition(distances, count - 1, axis=1)[:, :count], axis=1)
    finite = np.isfinite(nearest)
    known = finite.sum(axis=1)
    total = np.where(finite, nearest, 0.0).sum(axis=1)
    mean: Floats = np.where(known > 0, total / np.maximum(known, 1), np.inf)
    return mean


@dataclass(frozen=True, eq=False)
class Distances:
    """How far each label's crop is from the crowds.

    Attributes:
        own: distance to the own class's crowd in units of what is usual for it, (n,).
        ratio: that distance over the distance to the nearest other crowd, (n,).
        other: the class of that crowd, (n,).
    """

    own: Floats
    ratio: Floats
    other: npt.NDArray[np.object_]


def distances_of(objects: Objects, crops: Vectors, crowds: Crowds) -> Distances:
    """Compare crops with every class's crowd; a label without a crowd is at its usual distance."""
    names = list(crowds.members)
    n = len(objects)
    if not names or not n:
        return Distances(np.ones(n), np.zeros(n), np.full(n, None))
    all_ = np.stack(
        [distances_to(crops, crowds.members[name], crowds.neighbours) for name in names], axis=1
    )
    place = {name: i for i, name in enumerate(names)}
    own = np.array([place.get(label, -1) for label in objects.label], int)
    rows = np.arange(n)
    usual = np.array([max(crowds.usual[name], SAME) for name in names])
    mine = np.where(own >= 0, all_[rows, own], usual[own])
    lone = ~np.isfinite(mine)
    mine = np.where(lone, usual[own], mine)
    rest = all_.copy()
    rest[rows[own >= 0], own[own >= 0]] = np.inf
    best = rest.argmin(axis=1)
    ratio = np.where(lone | (own < 0), 0.0, mine / np.maximum(rest[rows, best], SAME))
    other = np.array([names[i] for i in best], dtype=object).reshape(n)
    return Distances(mine / usual[own], ratio, other)


def joined(records: Sequence[Record], vectors: Mapping[str, Sequence[Record]]) -> list[Record]:
    """Records with the vectors that the layers of `vectors` hold for them.

    A record of which a layer could not read the image gets that layer's error.

    Raises:
        ValueError: a layer's rows are not those of the records.
    """
    for name, rows in vectors.items():
        if len(rows) != len(records):
            raise ValueError(f"{name} has {len(rows)} images, not {len(records)}")
    found = []
    for i, record in enumerate(records):
        mine: dict[str, Vectors] = {}
        error = record.error
        for name, rows in vectors.items():
            row = rows[i]
            if row.image_id != record.image_id:
                raise ValueError(f"{name} has image {row.image_id}, not {record.image_id}")
            crops = len((row.vectors or {}).get(CROPS, ()))
            if row.error is None and crops not in (0, len(record.objects)):
                raise ValueError(f"{name} has {crops} crops of {record.uri}")
            error = error or row.error
            mine |= {key(name, what): value for what, value in (row.vectors or {}).items()}
        found.append(replace(record, error=error, vectors=mine))
    return found


def key(embedder: str, what: str) -> str:
    """Where a joined record has the vectors of `what` (`CROPS`, `WHOLE`) by an embedder."""
    return f"{embedder}/{what}"
