"""One image and what is known of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from autolabel.types.objects import Objects

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


@dataclass(frozen=True)
class Unmatched:
    """An image that somebody labelled and that is not among those that are asked for, and why."""

    name: str
    reason: str
