"""The photos that everything is measured on, and what each thing found in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from autolabel.datasets.ground_truth import GroundTruth
from autolabel.datasets.truth_match import Pair, match_truth
from autolabel.errors import AutolabelError
from autolabel.evaluate.classes import map_classes, renamed
from autolabel.metrics.evaluation_set import EvaluationSet
from autolabel.ontology import Ontology
from autolabel.types import Objects, Record


def find_evaluation_set(
    layers: Sequence[Iterable[Record]],
    truth: GroundTruth,
    ontology: Ontology,
    class_map: Mapping[str, str],
) -> tuple[EvaluationSet, list[list[Objects]]]:
    """Find the photos that are usable in every layer, and the kept objects of each layer in them.

    Args:
        layers: the records of each thing to measure, one at least.
        truth: the hand labels.
        ontology: the classes of the layers.
        class_map: see `map_classes`.

    Raises:
        AutolabelError: they have no hand-labelled image in common, or a class is unknown.
    """
    mapped = map_classes(truth, ontology, class_map)
    matches = [match_truth(records, truth) for records in layers]
    unmatched = {u.name: u for match in reversed(matches) for u in match.unmatched}
    common = set.intersection(*({id(image) for _, image in match.pairs} for match in matches))
    if not common:
        why = next(iter(unmatched.values()))
        raise AutolabelError(
            f"none of the {len(truth.records)} hand-labelled images can be compared; "
            f"{why.name}: {why.reason}",
            hint="pass --label-truth to label them as the layer was labelled",
        )
    rows = [[pair for pair in match.pairs if id(pair[1]) in common] for match in matches]
    used = set(mapped.values())
    found = _set_of(rows[0], mapped, tuple(n for n in ontology.names if n in used), ontology)
    found = replace(
        found,
        unmatched=tuple(unmatched.values()),
        without_truth=matches[0].without_truth + len(matches[0].pairs) - len(common),
    )
    return found, [[record.objects.kept for record, _ in row] for row in rows]


def _set_of(
    pairs: Sequence[Pair],
    mapped: Mapping[str, str | None],
    classes: tuple[str, ...],
    ontology: Ontology,
) -> EvaluationSet:
    truth, ignore = zip(
        *(renamed(image.objects, image.ignore, mapped) for _, image in pairs), strict=True
    )
    return EvaluationSet(
        classes=classes,
        unknown=tuple(name for name in ontology.names if name not in classes),
        truth=truth,
        ignore=ignore,
        names=tuple(image.name for _, image in pairs),
        uris=tuple(record.uri for record, _ in pairs),
        sides_wh=tuple((record.width, record.height) for record, _ in pairs),
    )
