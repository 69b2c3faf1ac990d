"""The label store: a workspace of layers, a layer of immutable Parquet shards and one manifest.

A shard is written under a hidden name, fsynced and renamed, so a visible one is whole. Shard *i*
of a layer depends on shard *i* of its source alone, whose digest it carries; it is stale exactly
when that digest no longer fits. A shard that is there is never changed: a layer that must be made
anew, in part or as a whole, is written into a hidden successor, which takes its place when it is
complete. Who reads a layer goes on reading what was there when he began.

Whatever commands leave is published in one of three ways, so that a kill at any moment leaves the
old one or the new one: a file by `write_atomic`, a folder of its own (a layer, a student) by
`FolderSwap`, files among those of others (an export) by `FileSet`. What it was made of is noted
with it, and `is_current` says whether that is what it would be made of now.
"""

from __future__ import annotations

from autolabel.store.binding import changes, is_current, read_note
from autolabel.store.classes import lock_names, locked_names
from autolabel.store.counts import Counts
from autolabel.store.file_set import FileSet
from autolabel.store.files import REFUSED, not_writable, write_atomic
from autolabel.store.folder_swap import FolderSwap
from autolabel.store.groups import EMBED, STUDENT
from autolabel.store.layer import Layer
from autolabel.store.manifest import Manifest
from autolabel.store.rows import Rows
from autolabel.store.states import LayerState
from autolabel.store.update import LayerUpdate, bound_to
from autolabel.store.workspace import Workspace

__all__ = [
    "EMBED",
    "REFUSED",
    "STUDENT",
    "Counts",
    "FileSet",
    "FolderSwap",
    "Layer",
    "LayerState",
    "LayerUpdate",
    "Manifest",
    "Rows",
    "Workspace",
    "bound_to",
    "changes",
    "is_current",
    "lock_names",
    "locked_names",
    "not_writable",
    "read_note",
    "write_atomic",
]
