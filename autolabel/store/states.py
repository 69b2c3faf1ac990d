"""How layers stand against their sources as those are now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from autolabel.store.layer import Layer
from autolabel.store.shard_bytes import UNREADABLE


@dataclass(frozen=True)
class LayerState:
    """How a layer stands: see `Workspace.states`.

    Attributes:
        layer: the layer.
        source: name of the layer that it is made from, or None.
        shards: how many it has.
        lacking: numbers of shards that it should have and has not.
        outdated: numbers of shards that were made from what has changed since.
    """

    layer: Layer
    source: str | None
    shards: int
    lacking: frozenset[int]
    outdated: frozenset[int]

    @property
    def missing(self) -> int:
        """How many shards are left to do."""
        return len(self.lacking)

    @property
    def stale(self) -> int:
        """How many shards are to be made anew."""
        return len(self.outdated)

    @property
    def complete(self) -> bool:
        """Whether nothing is left to do."""
        return not self.lacking and not self.outdated

    def problem(self) -> str | None:
        """Say what is wrong, or None: ``refine/ is unfinished: 2 of 5 shards``.

        Raises:
            AutolabelError: a shard is damaged.
        """
        name = self.layer.name
        for index in self.outdated:
            if self.layer.source_digest(index) == UNREADABLE:
                self.layer.table(index)
        if self.outdated:
            return f"{name}/ is stale: its source has changed since, in {self.stale} of its shards"
        if self.lacking:
            return f"{name}/ is unfinished: {self.shards} of {self.shards + self.missing} shards"
        return None


def states_of(layers: Iterable[Layer]) -> list[LayerState]:
    """Return the states of layers that come after their sources."""
    states: dict[str, LayerState] = {}
    for layer in layers:
        manifest = layer.manifest
        name = manifest.source["layer"] if manifest.source else None
        have = frozenset(layer.shards())
        outdated: frozenset[int] = frozenset()
        if name is not None and name in states:
            source = states[name]
            to_do = frozenset(layer.to_do(source.layer))
            lacking = (to_do - have) | source.lacking
            gone = have - frozenset(source.layer.shards()) - source.lacking
            # What is made from a stale shard is stale before that one is made anew.
            outdated = (to_do | source.outdated) & have | gone
        else:
            expected = max(manifest.shards, len(have))
            lacking = frozenset(sorted(set(range(expected)) - have)[: expected - len(have)])
        states[layer.name] = LayerState(layer, name, len(have), lacking, outdated)
    return list(states.values())
