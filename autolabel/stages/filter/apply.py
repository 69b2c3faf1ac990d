"""The rules of a configuration, applied to one image at a time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from autolabel.config import FilterConfig
from autolabel.ops.arrays import Bools
from autolabel.stages.filter.evidence import (
    CLIP,
    DINOV2,
    Distances,
    Probabilities,
    ProbeAnswers,
    class_probabilities,
    prototype_distances,
    vector_key,
)
from autolabel.stages.filter.examples import Probe
from autolabel.stages.filter.prototypes import Prototypes
from autolabel.stages.filter.rule import Evidence, RuleInput
from autolabel.stages.filter.table import RULES, active, option_of
from autolabel.stages.filter.texts import TextVectors
from autolabel.store.vectors import CROPS, WHOLE
from autolabel.types import Objects, Record


class RuleSet:
    """Rejects labels of records that hold their vectors (see `evidence.join_vectors`).

    Args:
        config: the rules.
        texts: what crops are compared with, if there is an image-text embedder.
        prototypes: the classes' prototypes, if there is an image-only embedder.
        probe: the probe on example crops, if there are any.
    """

    def __init__(
        self,
        config: FilterConfig,
        texts: TextVectors | None = None,
        prototypes: Prototypes | None = None,
        probe: Probe | None = None,
    ) -> None:
        self.config = config
        self.rules = [(name, RULES[name], option_of(name, config)) for name in active(config)]
        self.texts = texts
        self.prototypes = prototypes
        self.probe = probe

    def apply(self, record: Record) -> Record:
        """Return the record with rejected labels marked and the evidence in their scores."""
        if not len(record.objects):
            return record
        evidence = self._evidence(record)
        alive = record.objects.keep.copy()
        objects = self._relabelled(_with_scores(record.objects, evidence), alive, evidence)
        record = replace(record, objects=objects)
        return replace(record, objects=self._rejected(record, alive, evidence))

    def _evidence(self, record: Record) -> dict[Evidence, Any]:
        vectors = record.vectors or {}
        found: dict[Evidence, Any] = {}
        crops = vectors.get(vector_key(CLIP, CROPS))
        if self.texts is not None and crops is not None:
            whole = vectors.get(vector_key(CLIP, WHOLE))
            found["probabilities"] = class_probabilities(record.objects, crops, whole, self.texts)
        crops = vectors.get(vector_key(DINOV2, CROPS))
        if self.prototypes is not None and crops is not None:
            found["distances"] = prototype_distances(record.objects, crops, self.prototypes)
        if self.probe is not None and crops is not None:
            found["probe"] = self.probe.answers(crops)
        return found

    def _relabelled(self, objects: Objects, alive: Bools, evidence: dict[Evidence, Any]) -> Objects:
        """Give labels the class that the probe is sure of, where it may."""
        found: ProbeAnswers | None = evidence.get("probe")
        if found is None or self.config.probe != "relabel":
            return objects
        sure = found.probability >= self.config.probe_sure
        known = np.array([name in found.classes for name in found.name], bool)
        return replace(objects, label=np.where(sure & known & alive, found.name, objects.label))

    def _rejected(self, record: Record, alive: Bools, evidence: dict[Evidence, Any]) -> Objects:
        """Return the labels after every rule; each sees what the rules before it left."""
        objects = record.objects
        reason: npt.NDArray[np.object_] = objects.reason.copy()
        for name, rule, option in self.rules:
            if rule.needs is not None and rule.needs not in evidence:
                continue
            bad, figures = rule.reject(RuleInput(record, alive, self.config, evidence), option)
            for i in np.flatnonzero(bad & alive).tolist():
                reason[i] = f"{name}: {figures[i]}"
            alive = alive & ~bad
        return replace(objects, keep=alive, reason=reason)


def _with_scores(objects: Objects, evidence: dict[Evidence, Any]) -> Objects:
    """Return the objects with what was found in their scores."""
    columns: dict[str, Any] = {}
    if "probabilities" in evidence:
        probabilities: Probabilities = evidence["probabilities"]
        columns |= {CLIP: probabilities.own, "clip_margin": probabilities.margin}
    if "distances" in evidence:
        distances: Distances = evidence["distances"]
        columns |= {DINOV2: distances.own, "dinov2_ratio": distances.ratio}
    if "probe" in evidence:
        columns["probe"] = evidence["probe"].probability
    scores = np.empty(len(objects), dtype=object)
    for i in range(len(objects)):
        scores[i] = objects.scores[i] | {name: float(v[i]) for name, v in columns.items()}
    return replace(objects, scores=scores)
