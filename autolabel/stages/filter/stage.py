"""Keep or reject labels by the rules of the configuration; every rejection says why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.config import FilterConfig
from autolabel.stages.embed import TextVectors
from autolabel.stages.filter.evidence import CLIP, DINOV2, Crowds, chances_of, distances_of, key
from autolabel.stages.filter.probe import Probe
from autolabel.stages.filter.rules import GROUP, RULES, Probed, Scene, active
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import EXCLUDED, Objects, Record


class Filter:
    """Apply the rules to records that hold their vectors (see `evidence.joined`).

    Args:
        config: the rules.
        texts: what crops are compared with, if there is an image-text embedder.
        crowds: the classes' crowds, if there is an image-only embedder.
        probe: the probe on example crops, if there are any.
        capped: image_id -> place among its near duplicates, for images beyond the cap.
    """

    def __init__(
        self,
        config: FilterConfig,
        texts: TextVectors | None = None,
        crowds: Crowds | None = None,
        probe: Probe | None = None,
        capped: Mapping[str, int] | None = None,
    ) -> None:
        self.config = config
        self.rules = active(config)
        self.texts = texts
        self.crowds = crowds
        self.probe = probe
        self.capped = capped or {}

    def wants(self, record: Record) -> bool:
        """Images of the pool."""
        return record.usable

    def prepare(self, record: Record) -> Record:
        """Nothing to prepare: no pixels are looked at."""
        return record

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """The same records, with rejected labels marked and the evidence in their scores."""
        return [self._judged(record) for record in batch]

    def _judged(self, record: Record) -> Record:
        if len(record.objects):
            scene = self._scene(record)
            objects, scene = self._relabelled(_with_evidence(record.objects, scene), scene)
            scene = replace(scene, record=replace(record, objects=objects))
            record = replace(record, objects=self._rejected(scene))
        record = replace(record, vectors=None)
        place = self.capped.get(record.image_id)
        return record if place is None else _beyond(record, place, self.config.max_per_group)

    def _scene(self, record: Record) -> Scene:
        vectors = record.vectors or {}
        scene = Scene(record, record.objects.keep.copy())
        crops = vectors.get(key(CLIP, CROPS))
        if self.texts is not None and crops is not None:
            whole = vectors.get(key(CLIP, WHOLE))
            scene = replace(scene, chances=chances_of(record.objects, crops, whole, self.texts))
        crops = vectors.get(key(DINOV2, CROPS))
        if self.crowds is not None and crops is not None:
            scene = replace(scene, distances=distances_of(record.objects, crops, self.crowds))
        if self.probe is not None and crops is not None:
            name, chance = self.probe.names(crops)
            scene = replace(scene, probed=Probed(name, chance, self.probe.classes))
        return scene

    def _relabelled(self, objects: Objects, scene: Scene) -> tuple[Objects, Scene]:
        """Give labels the class that the probe is sure of, where it may."""
        found = scene.probed
        if found is None or self.config.probe != "relabel":
            return objects, scene
        sure = found.chance >= self.config.probe_sure
        known = np.array([name in found.known for name in found.name], bool)
        label = np.where(sure & known & scene.alive, found.name, objects.label)
        return replace(objects, label=label), scene

    def _rejected(self, scene: Scene) -> Objects:
        """The labels of a scene after every rule; each sees what the rules before it left."""
        objects = scene.record.objects
        reason: npt.NDArray[np.object_] = objects.reason.copy()
        alive = scene.alive.copy()
        for name in self.rules:
            bad, figures = RULES[name](replace(scene, alive=alive), self.config)
            for i in np.flatnonzero(bad & alive).tolist():
                reason[i] = f"{name}: {figures[i]}"
            alive = alive & ~bad
        return replace(objects, keep=alive, reason=reason)


def _with_evidence(objects: Objects, scene: Scene) -> Objects:
    """The objects with what was found in their scores."""
    columns: dict[str, Any] = {}
    if scene.chances is not None:
        columns |= {CLIP: scene.chances.own, "clip_margin": scene.chances.margin}
    if scene.distances is not None:
        columns |= {DINOV2: scene.distances.own, "dinov2_ratio": scene.distances.ratio}
    if scene.probed is not None:
        columns["probe"] = scene.probed.chance
    scores = np.empty(len(objects), dtype=object)
    for i in range(len(objects)):
        scores[i] = objects.scores[i] | {name: float(v[i]) for name, v in columns.items()}
    return replace(objects, scores=scores)


def _beyond(record: Record, place: int, most: int) -> Record:
    """An image that has too many near duplicates before it, out of the pool.

    Without its labels it would look like an image of nothing, so the whole image goes.
    """
    objects, figure = record.objects, f"{GROUP}: {place} > {most}"
    reason = np.where(objects.keep, figure, objects.reason)
    objects = replace(objects, keep=np.zeros(len(objects), bool), reason=reason)
    return replace(record, split=EXCLUDED, note=figure, objects=objects)
