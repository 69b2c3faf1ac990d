"""What a stage is, what an engine gets, and what it reports."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from autolabel.store import Layer
from autolabel.types import Record

Begin = Callable[[], Layer]
"""Gives the layer to write to; called once the stage is made, so that one which cannot be made
leaves nothing behind."""


class Stage(Protocol):
    """Maps records to records: same images, same order."""

    def wants(self, record: Record) -> bool:
        """Say whether the stage works on this record; the others pass through untouched."""
        ...

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Do the work, on a batch of records; with their pixels where the stage needs them."""
        ...


@runtime_checkable
class Preparing(Protocol):
    """A stage with work for the CPU that can be done ahead, record by record."""

    def prepare(self, record: Record) -> Record:
        """Do that work; called from many threads. What it returns keeps no pixels in vain.

        An exception becomes the record's error.
        """
        ...


@runtime_checkable
class Sorted(Protocol):
    """A stage whose model does not take every two images in one pass."""

    def batch_key(self, record: Record) -> Hashable:
        """Return what is equal for records of one pass; known before their pixels are."""
        ...


@runtime_checkable
class Sized(Protocol):
    """A stage that says how many records a call should have where the user does not."""

    batch_size: int


UNTOLD = 8
"""Records of a call where neither the user nor the stage says how many."""


def batch_size_of(stage: object, asked: int) -> int:
    """Return the records of one call of a stage; 0 asks for what suits the stage.

    >>> batch_size_of(object(), 0), batch_size_of(object(), 3)
    (8, 3)
    """
    return asked or (stage.batch_size if isinstance(stage, Sized) else UNTOLD)


@runtime_checkable
class Stamped(Protocol):
    """A stage whose records do not say which content of a file they are about."""

    def stamp(self, record: Record) -> Sequence[int]:
        """Numbers that change when the file does; what was found under others is found anew."""
        ...


@dataclass(frozen=True)
class Task:
    """One shard still to do.

    Attributes:
        index: number of the shard.
        images: how many records it has.
        read: gives the records to work on.
        source_digest: digest of the shard that they come from, if they come from one.
        only: rows to work on; None is all. The others are results already.
    """

    index: int
    images: int
    read: Callable[[], list[Record]]
    source_digest: str | None = None
    only: frozenset[int] | None = None


@dataclass
class Progress:
    """What has been done so far; an engine updates it and calls `changed`.

    Attributes:
        images, objects, errors: counts over the finished batches.
        resumed: how many of the images an earlier run had finished, in a shard that it had not.
        shards: finished shards.
        model_seconds: time inside the stage itself, not in reading or writing.
        failures: (shard, what went wrong) of shards that were not written.
        note: what to show in place of the counts.
    """

    images: int = 0
    objects: int = 0
    errors: int = 0
    resumed: int = 0
    shards: int = 0
    model_seconds: float = 0.0
    failures: list[tuple[int, str]] = field(default_factory=list)
    note: str = ""
    changed: Callable[[Progress], None] = lambda progress: None
