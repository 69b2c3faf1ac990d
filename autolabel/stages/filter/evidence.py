"""What the embeddings say of each label: how probable its class is, how far it is from the rest.

Pure functions on arrays. What crops are compared with is made elsewhere: `texts`, `prototypes`,
`examples`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autolabel.ops.arrays import Floats, Vectors
from autolabel.stages.filter.prototypes import NEAR_ZERO, Prototypes, neighbour_distances
from autolabel.stages.filter.texts import TextVectors
from autolabel.store.vectors import CROPS
from autolabel.types import Objects, Record

Names = npt.NDArray[np.object_]

CLIP, DINOV2 = "clip", "dinov2"
"""The two kinds of embedders: names of their layers, of their evidence and of their vectors."""


@dataclass(frozen=True, eq=False)
class Probabilities:
    """How likely each label's crop shows its own class, and what else it may show.

    Attributes:
        own: probability of the label's own class, (n,).
        margin: by how much that exceeds the best of everything else, (n,).
        other: name of that best other, (n,).
        whole: probability against background that the whole image shows the label's class, (n,);
            1 where the image was not embedded.
    """

    own: Floats
    margin: Floats
    other: Names
    whole: Floats


def class_probabilities(
    objects: Objects, crops: Vectors, whole: Vectors | None, texts: TextVectors
) -> Probabilities:
    """Compare crops with the texts of all classes, of the negatives and of background.

    A label whose class the texts do not know has probability 0.

    Args:
        objects: n labels.
        crops: (n, d), each of length one.
        whole: that of the image, (1, d) or (0, d), if there is one.
        texts: what they are compared with.
    """
    place = {name: i for i, name in enumerate(texts.names[: texts.classes])}
    own = np.array([place.get(label, -1) for label in objects.label], int)
    rows = np.arange(len(own))
    found = texts.scoring.probabilities(crops @ texts.vectors.T).astype(np.float64)
    mine = np.where(own >= 0, found[rows, own], 0.0)
    rest = found.copy()
    rest[rows[own >= 0], own[own >= 0]] = -1
    best = rest.argmax(axis=1)
    other = np.array([texts.names[i] for i in best], dtype=object).reshape(len(best))
    seen = np.ones(len(own))
    if whole is not None and len(whole):
        seen = _against_background(whole[0], texts)[own]
    return Probabilities(mine, mine - rest[rows, best], other, seen)


def _against_background(image: Vectors, texts: TextVectors) -> Floats:
    """Return for each name the probability that the image shows it, if it or background."""
    cosines = texts.vectors @ image
    pairs = np.stack([cosines, np.full_like(cosines, cosines[-1])], axis=1)
    found = texts.scoring.probabilities(pairs).astype(np.float64)
    # A softmax's two add up to one; those of a sigmoid, which judges each text alone, do not.
    shares: Floats = found[:, 0] / np.maximum(found.sum(axis=1), np.finfo(np.float32).tiny)
    return shares


@dataclass(frozen=True, eq=False)
class Distances:
    """How far each label's crop is from the classes' prototypes.

    Attributes:
        own: distance to the own class's prototypes in units of that class's median, (n,).
        ratio: that distance over the distance to the nearest other class's prototypes, (n,).
        other: that other class, (n,).
    """

    own: Floats
    ratio: Floats
    other: Names


def prototype_distances(objects: Objects, crops: Vectors, prototypes: Prototypes) -> Distances:
    """Compare crops with every class's prototypes.

    A label whose class has none is at its class's median distance.

    Args:
        objects: n labels.
        crops: (n, d), each of length one.
        prototypes: what they are compared with.
    """
    names = list(prototypes.members)
    n = len(objects)
    if not names or not n:
        return Distances(np.ones(n), np.zeros(n), np.full(n, None))
    found = [
        neighbour_distances(crops, prototypes.members[name], prototypes.neighbours)
        for name in names
    ]
    distances = np.stack(found, axis=1)
    place = {name: i for i, name in enumerate(names)}
    own = np.array([place.get(label, -1) for label in objects.label], int)
    rows = np.arange(n)
    median = np.array([max(prototypes.median_distance[name], NEAR_ZERO) for name in names])
    mine = np.where(own >= 0, distances[rows, own], median[own])
    lone = ~np.isfinite(mine)
    mine = np.where(lone, median[own], mine)
    rest = distances.copy()
    rest[rows[own >= 0], own[own >= 0]] = np.inf
    best = rest.argmin(axis=1)
    ratio = np.where(lone | (own < 0), 0.0, mine / np.maximum(rest[rows, best], NEAR_ZERO))
    other = np.array([names[i] for i in best], dtype=object).reshape(n)
    return Distances(mine / median[own], ratio, other)


@dataclass(frozen=True, eq=False)
class ProbeAnswers:
    """What the probe on example crops says of each label.

    Attributes:
        name: the likeliest name, (n,).
        probability: of that name, (n,).
        classes: names that are classes of the ontology; the others only compete.
    """

    name: Names
    probability: Floats
    classes: frozenset[str]


def join_vectors(
    records: Sequence[Record], vectors: Mapping[str, Sequence[Record]]
) -> list[Record]:
    """Return the records with the vectors that the layers of `vectors` hold for them.

    A record of which a layer could not read the image gets that layer's error.

    Args:
        records: of one shard.
        vectors: embedder -> the same rows of its layer.

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
            mine |= {vector_key(name, what): v for what, v in (row.vectors or {}).items()}
        found.append(replace(record, error=error, vectors=mine))
    return found


def vector_key(embedder: str, what: str) -> str:
    """Return where a joined record has the vectors of `what` (`CROPS`, `WHOLE`) by an embedder."""
    return f"{embedder}/{what}"
