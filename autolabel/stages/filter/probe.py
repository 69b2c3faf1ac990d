"""A small classifier on the embeddings of example crops that people have sorted."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

NEIGHBOURS = 5
"""Examples that vote, where there are as many."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Example crops: the name of each, and its vector, float32 (n, d) of length one."""

    names: npt.NDArray[np.str_]
    vectors: Vectors

    def to_bytes(self) -> bytes:
        """As the file that keeps them; the same examples give the same bytes."""
        sink = io.BytesIO()
        np.savez_compressed(sink, names=self.names, vectors=self.vectors.astype(np.float16))
        return sink.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Examples:
        """The inverse of `to_bytes`.

        Raises:
            ValueError: the bytes are damaged.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as file:
                return cls(file["names"], file["vectors"].astype(np.float32))
        except Exception as e:  # zip files and arrays in them raise nearly anything
            raise ValueError(f"damaged: {e}") from e


@dataclass(frozen=True, eq=False)
class Probe:
    """Names crops as the examples like them are named.

    Attributes:
        examples: of at least two names.
        kind: `neighbours` (votes of the nearest, by distance) or `logistic` (regression with
            classes weighed equally; the usual linear probe on frozen features).
        classes: names that are classes of the ontology; the others only compete.
    """

    examples: Examples
    kind: str
    classes: frozenset[str]

    @cached_property
    def _model(self) -> Any:
        if self.kind == "neighbours":
            from sklearn.neighbors import KNeighborsClassifier

            count = min(NEIGHBOURS, len(self.examples.names))
            model = KNeighborsClassifier(n_neighbors=count, weights="distance", metric="cosine")
        else:
            from sklearn.linear_model import LogisticRegression

            # Vectors of length one are close together: without a weak penalty nothing is sure.
            model = LogisticRegression(C=100.0, class_weight="balanced", max_iter=1000)
        return model.fit(self.examples.vectors, self.examples.names)

    def names(self, crops: Vectors) -> tuple[npt.NDArray[np.object_], npt.NDArray[np.float64]]:
        """The likeliest name of each crop and its chance, (n,) each."""
        chances = self._model.predict_proba(crops)
        best = chances.argmax(axis=1)
        names = np.array([str(n) for n in self._model.classes_[best]], object).reshape(len(best))
        return names, chances[np.arange(len(best)), best].astype(np.float64)
