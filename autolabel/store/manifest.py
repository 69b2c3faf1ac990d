"""What a layer is bound to."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

from autolabel import __version__
from autolabel.store.binding import changes


@dataclass(frozen=True)
class Manifest:
    """What a layer is bound to, and where it came from.

    Attributes:
        stage: name of the stage that made it.
        settings: the settings that shape its content, as JSON values.
        model: name and revision (or content hash) of the model, or None.
        version: version of the code.
        source: name and fingerprint of the source layer, or None.
        source_root: folder that the records' uris are relative to (the first layer only).
        shards: how many shards the layer has when it is complete.
        origin: paths and the like that help to repeat the run but do not bind the layer.
        digests: SHA-256 of the shards' files, by number; a shard of a run that was killed has none
            until the next one.
        made_from: what the `source_digest` of those shards is.
        unread: numbers of the shards with images that could not be read (see `is_unread`).
    """

    stage: str
    settings: dict[str, Any] = field(default_factory=dict)
    model: dict[str, str] | None = None
    version: str = __version__
    source: dict[str, str] | None = None
    source_root: str | None = None
    shards: int = 0
    origin: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    made_from: dict[str, str] = field(default_factory=dict)
    unread: list[int] = field(default_factory=list)

    def noting(self, shards: Collection[int], also: Manifest | None = None) -> Manifest:
        """Return the same with what is noted of these shards alone, and with what `also` notes."""
        rest = also or Manifest(self.stage)
        keys = sorted(map(str, shards), key=int)
        digests = {k: self.digests[k] for k in keys if k in self.digests} | rest.digests
        made_from = {k: self.made_from[k] for k in keys if k in self.made_from} | rest.made_from
        unread = sorted({*rest.unread, *(index for index in self.unread if index in shards)})
        return replace(
            self,
            digests={k: digests[k] for k in sorted(digests, key=int)},
            made_from={k: made_from[k] for k in sorted(made_from, key=int)},
            unread=unread,
        )

    def binding(self) -> dict[str, Any]:
        """Return the part that may not differ within one layer."""
        return {
            "stage": self.stage,
            "settings": self.settings,
            "model": self.model,
            "version": self.version,
            "source": self.source["layer"] if self.source else None,
        }

    def changes_to(self, other: Manifest) -> list[str]:
        """Return what binds another layer differently: ``box_threshold 0.35, not 0.25``."""
        return changes(self.binding(), other.binding())
