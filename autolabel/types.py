"""The two types that cross every boundary, and the Arrow schema that stores them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
    ]
)
"""One object: `mask` is compressed COCO RLE, `scores` is named evidence (`detector`, `clip`, …)."""

SCHEMA = pa.schema(
    [
        ("image_id", pa.string()),
        ("uri", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("split", pa.string()),
        ("error", pa.string()),
        ("group", pa.string()),
        ("note", pa.string()),
        ("phash", pa.string()),
        ("objects", pa.list_(OBJECT)),
    ]
)
"""One row per image; see `Record` for what each column holds."""

POOL, LEAK, DUPLICATE, EXCLUDED, GONE = "pool", "leak", "duplicate", "excluded", "gone"
"""Values of `Record.split`; stages work on `POOL` alone."""

CHANGED = "changed since it was ingested"
"""Error of an image whose file holds other bytes by now."""

_UNREAD = (
    "missing", "cannot be read", "not a regular file", "too many levels of symbolic links", CHANGED,
)  # fmt: skip


def is_unread(error: str | None) -> bool:
    """Tell whether an error is one of reading the file, which may be there again the next time.

    What the bytes themselves decide, as that they are not an image, is not.

    Examples:
        >>> is_unread("cannot be read: Input/output error"), is_unread("not an image")
        (True, False)
    """
    return error is not None and error.startswith(_UNREAD)


def _column(values: Iterable[Any], count: int) -> npt.NDArray[np.object_]:
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

    def __post_init__(self) -> None:
        n = len(self.label)
        if self.xyxy.shape != (n, 4):
            raise ValueError(f"xyxy must have shape ({n}, 4), not {self.xyxy.shape}")
        for name in ("score", "mask", "keep", "reason", "prompt", "scores"):
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
    ) -> Objects:
        """Build from plain sequences; what is left out is absent (`keep` is then True)."""
        n = len(label)
        none = [None] * n
        return cls(
            label=_column(label, n),
            score=np.asarray(score, dtype=np.float32).reshape(n),
            xyxy=np.asarray(xyxy, dtype=np.float32).reshape(n, 4),
            mask=_column(none if mask is None else mask, n),
            keep=np.ones(n, bool) if keep is None else np.asarray(keep, dtype=bool).reshape(n),
            reason=_column(none if reason is None else reason, n),
            prompt=_column(none if prompt is None else prompt, n),
            scores=_column([{} for _ in none] if scores is None else scores, n),
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


@dataclass(frozen=True)
class Record:
    """One image and what is known of it.

    Attributes:
        image_id: first 32 hexadecimal digits of the SHA-256 of the file's bytes.
        uri: path relative to the workspace's source root, with `/`.
        width, height: pixels of the upright image; 0 where it could not be read.
        split: `pool` (in use), `leak` (equals a held-out photo), `duplicate`, `excluded` or `gone`
            (its file was deleted or replaced).
        error: why the image could not be used, or None.
        group: image_id of the first image that this one nearly equals, or its own.
        note: what put it into `split`, or what it nearly equals; or None.
        phash: 64-bit perceptual hash, 16 hexadecimal digits, or None.
        objects: what was found; empty means looked at, found nothing.
        pixels: upright RGB, uint8 (height, width, 3), while a stage runs; never stored.
        vectors: embeddings by name, float32 (n, d), while a stage runs; stored in layers of their
            own.
    """

    image_id: str
    uri: str
    width: int = 0
    height: int = 0
    split: str = POOL
    error: str | None = None
    group: str | None = None
    note: str | None = None
    phash: str | None = None
    objects: Objects = field(default_factory=Objects.empty)
    pixels: npt.NDArray[np.uint8] | None = field(default=None, compare=False, repr=False)
    vectors: Mapping[str, npt.NDArray[np.float32]] | None = field(
        default=None, compare=False, repr=False
    )

    @property
    def usable(self) -> bool:
        """Whether stages work on this image."""
        return self.error is None and self.split == POOL

    def image(self) -> npt.NDArray[np.uint8]:
        """Return upright RGB pixels, uint8 (height, width, 3), which the engine read ahead.

        Raises:
            ValueError: the pixels were not read.
        """
        if self.pixels is None:
            raise ValueError(f"the pixels of {self.uri} were not read")
        return self.pixels

    def failed(self, error: str) -> Record:
        """Return the same image with an error and without pixels."""
        return replace(self, error=error, pixels=None)


_SCALARS = tuple(name for name in SCHEMA.names if name != "objects")


def to_table(records: Sequence[Record]) -> pa.Table:
    """Return records as an Arrow table of `SCHEMA`, in the same order."""
    columns: dict[str, pa.Array] = {
        name: pa.array([getattr(r, name) for r in records], SCHEMA.field(name).type)
        for name in _SCALARS
    }
    counts = [len(r.objects) for r in records]
    offsets = pa.array(np.concatenate([[0], np.cumsum(counts)]).astype(np.int32))
    columns["objects"] = pa.ListArray.from_arrays(offsets, _objects_array(records))
    return pa.table(columns, schema=SCHEMA)


def _objects_array(records: Sequence[Record]) -> pa.StructArray:
    def joined(name: str) -> list[Any]:
        return [v for r in records for v in getattr(r.objects, name)]

    boxes = [r.objects.xyxy for r in records if len(r.objects)]
    flat = np.concatenate(boxes).ravel() if boxes else np.zeros(0, np.float32)
    arrays = []
    for f in OBJECT:
        if f.name == "xyxy":
            arrays.append(pa.FixedSizeListArray.from_arrays(pa.array(flat, pa.float32()), 4))
        elif f.name == "scores":
            pairs = [sorted(s.items()) for s in joined("scores")]
            arrays.append(pa.array(pairs, f.type))
        else:
            arrays.append(pa.array(joined(f.name), f.type))
    return pa.StructArray.from_arrays(arrays, fields=list(OBJECT))


def from_table(table: pa.Table) -> list[Record]:
    """Return the records of an Arrow table of `SCHEMA`; the inverse of `to_table`."""
    table = table.combine_chunks()
    scalars: dict[str, list[Any]] = {name: table.column(name).to_pylist() for name in _SCALARS}
    rows = [Objects.empty()] * table.num_rows
    if table.num_rows:
        rows = _split_objects(table.column("objects").chunk(0))
    return [
        Record(**{name: scalars[name][i] for name in _SCALARS}, objects=rows[i])
        for i in range(table.num_rows)
    ]


def _split_objects(lists: pa.ListArray) -> list[Objects]:
    offsets = lists.offsets.to_numpy()
    values = lists.values
    n = len(values)
    columns: dict[str, npt.NDArray[Any]] = {}
    for f in OBJECT:
        array = values.field(f.name)
        if f.name == "xyxy":
            columns[f.name] = array.flatten().to_numpy().reshape(n, 4)
        elif f.name == "scores":
            columns[f.name] = _column([dict(pairs) for pairs in array.to_pylist()], n)
        elif f.name in ("score", "keep"):
            columns[f.name] = array.to_numpy(zero_copy_only=False)
        else:
            columns[f.name] = _column(array.to_pylist(), n)
    return [
        Objects(**{name: column[a:b] for name, column in columns.items()})
        for a, b in itertools.pairwise(offsets)
    ]
