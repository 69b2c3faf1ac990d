"""The objects of one image, what a person did to them, and their Arrow types."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

CORRECTION = pa.struct([("action", pa.string()), ("who", pa.string()), ("when", pa.string())])
"""What a person did to an object; null where nobody did anything."""

OBJECT = pa.struct(
    [
        ("label", pa.string()),
        ("score", pa.float32()),
        ("xyxy", pa.list_(pa.float32(), 4)),
        ("mask", pa.binary()),
        ("keep", pa.bool_()),
        ("reason", pa.string()),
        ("prompt", pa.string()),
        ("scores", pa.map_(pa.string(), pa.float32())),
        ("correction", CORRECTION),
    ]
)
"""One object: `mask` is compressed COCO RLE, `scores` is named evidence (`detector`, `clip`, …)."""

DRAWN, MOVED, RELABELLED, CONFIRMED, DELETED = (
    "drawn", "moved", "relabelled", "confirmed", "deleted",
)  # fmt: skip
"""Values of `Correction.action`."""
ACTIONS = (DRAWN, MOVED, RELABELLED, CONFIRMED, DELETED)


@dataclass(frozen=True)
class Correction:
    """What a person did to an object; no machine changes such an object any more: it is locked.

    Attributes:
        action: one of `ACTIONS`; what is both moved and relabelled is `relabelled`.
        who: who did it, or None where that is not known.
        when: when, in ISO 8601, or None.

    Raises:
        ValueError: there is no such action.
    """

    action: str
    who: str | None = None
    when: str | None = None

    def __post_init__(self) -> None:
        if self.action not in ACTIONS:
            raise ValueError(f"{self.action!r} is not one of {', '.join(ACTIONS)}")


def column_of(values: Iterable[Any], count: int) -> npt.NDArray[np.object_]:
    """Return an object array, whatever the values are."""
    column = np.empty(count, dtype=object)
    column[:] = list(values)
    return column


@dataclass(frozen=True, eq=False)
class Objects:
    """The objects of one image, as a struct of n-long arrays; index it by mask, slice or integers.

    Attributes:
        label: class names, object array of str.
        score: confidence in [0, 1], float32.
        xyxy: boxes (n, 4), absolute pixels of the upright image, half-open, float32.
        mask: compressed COCO RLE (bytes, of the image's size) or None.
        keep: False where the object was rejected, bool.
        reason: why it was rejected, or None.
        prompt: the prompt that found it, or None.
        scores: named evidence, dicts of str to float.
        correction: what a person did to it, a `Correction`, or None.

    Raises:
        ValueError: lengths differ, a shape is wrong, or a box is not finite or is inside out.

    Examples:
        >>> o = Objects.create(["cat", "dog"], [0.9, 0.4], [[0, 0, 4, 4], [1, 1, 3, 5]])
        >>> len(o), o[o.score > 0.5].label.tolist()
        (2, ['cat'])
    """

    label: npt.NDArray[np.object_]
    score: npt.NDArray[np.float32]
    xyxy: npt.NDArray[np.float32]
    mask: npt.NDArray[np.object_]
    keep: npt.NDArray[np.bool_]
    reason: npt.NDArray[np.object_]
    prompt: npt.NDArray[np.object_]
    scores: npt.NDArray[np.object_]
    correction: npt.NDArray[np.object_]

    def __post_init__(self) -> None:
        n = len(self.label)
        if self.xyxy.shape != (n, 4):
            raise ValueError(f"xyxy must have shape ({n}, 4), not {self.xyxy.shape}")
        for name in ("score", "mask", "keep", "reason", "prompt", "scores", "correction"):
            shape = getattr(self, name).shape
            if shape != (n,):
                raise ValueError(f"{name} must have shape ({n},), not {shape}")
        if not np.isfinite(self.xyxy).all():
            raise ValueError("xyxy must be finite")
        if (self.xyxy[:, 2:] < self.xyxy[:, :2]).any():
            raise ValueError("xyxy must have x1 <= x2 and y1 <= y2")

    @classmethod
    def create(
        cls,
        label: Sequence[str],
        score: npt.ArrayLike,
        xyxy: npt.ArrayLike,
        *,
        mask: Sequence[bytes | None] | None = None,
        keep: npt.ArrayLike | None = None,
        reason: Sequence[str | None] | None = None,
        prompt: Sequence[str | None] | None = None,
        scores: Sequence[dict[str, float]] | None = None,
        correction: Sequence[Correction | None] | None = None,
    ) -> Objects:
        """Build from plain sequences; what is left out is absent (`keep` is then True)."""
        n = len(label)
        none = [None] * n
        return cls(
            label=column_of(label, n),
            score=np.asarray(score, dtype=np.float32).reshape(n),
            xyxy=np.asarray(xyxy, dtype=np.float32).reshape(n, 4),
            mask=column_of(none if mask is None else mask, n),
            keep=np.ones(n, bool) if keep is None else np.asarray(keep, dtype=bool).reshape(n),
            reason=column_of(none if reason is None else reason, n),
            prompt=column_of(none if prompt is None else prompt, n),
            scores=column_of([{} for _ in none] if scores is None else scores, n),
            correction=column_of(none if correction is None else correction, n),
        )

    @classmethod
    def empty(cls) -> Objects:
        """Return no objects: looked at, found nothing."""
        return cls.create([], [], np.zeros((0, 4)))

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index: Any) -> Objects:
        """Select by boolean mask (n,), integer array or slice; the result is a copy."""
        return Objects(**{name: getattr(self, name)[index] for name in self.__dataclass_fields__})

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Objects):
            return NotImplemented
        return len(self) == len(other) and all(
            np.array_equal(getattr(self, name), getattr(other, name))
            for name in self.__dataclass_fields__
        )

    __hash__ = None  # type: ignore[assignment]

    @property
    def kept(self) -> Objects:
        """The objects that were not rejected."""
        return self[self.keep]

    @property
    def locked(self) -> npt.NDArray[np.bool_]:
        """Which objects a person did something to, bool (n,)."""
        return np.array([one is not None for one in self.correction], dtype=bool)
