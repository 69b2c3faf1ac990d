"""The photos that everything is measured on, and what each thing found in them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from autolabel.datasets.ground_truth import GroundTruth
from autolabel.errors import AutolabelError
from autolabel.metrics.classes import map_classes
from autolabel.metrics.match import Pair, Unmatched, match_truth
from autolabel.ontology import Ontology
from autolabel.types import Objects, Record

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Photos:
    """n hand-labelled images that everything that is measured has looked at.

    Attributes:
        classes: those that the hand labels know, in the order of the ontology.
        unknown: the ontology's other classes, about which nothing is said.
        truth: hand labels of each image, by the ontology's names.
        ignore: (objects,) for each image, True where a hand label is to be ignored.
        names: of the images, as the hand labels give them.
        uris: of the images, as the layers give them.
        sides_wh: width and height of each image, pixels.
        unmatched: hand-labelled images that are not among them, and why.
        without_truth: how many usable images are not among them.
    """

    classes: tuple[str, ...]
    unknown: tuple[str, ...]
    truth: tuple[Objects, ...]
    ignore: tuple[Bools, ...]
    names: tuple[str, ...]
    uris: tuple[str, ...]
    sides_wh: tuple[tuple[int, int], ...]
    unmatched: tuple[Unmatched, ...] = ()
    without_truth: int = 0

    def labelled(self) -> Iterator[tuple[Objects, Bools]]:
        """The hand labels of each image and what of them is to be ignored."""
        return zip(self.truth, self.ignore, strict=True)


def line_up(
    layers: Sequence[Iterable[Record]],
    truth: GroundTruth,
    ontology: Ontology,
    class_map: Mapping[str, str],
) -> tuple[Photos, list[list[Objects]]]:
    """The photos that are usable in every layer, and the kept objects of each layer in them.

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
    photos = _photos(rows[0], mapped, tuple(n for n in ontology.names if n in used), ontology)
    photos = replace(
        photos,
        unmatched=tuple(unmatched.values()),
        without_truth=matches[0].without_truth + len(matches[0].pairs) - len(common),
    )
    return photos, [[record.objects.kept for record, _ in row] for row in rows]


def _photos(
    pairs: Sequence[Pair],
    mapped: Mapping[str, str | None],
    classes: tuple[str, ...],
    ontology: Ontology,
) -> Photos:
    truth, ignore = zip(
        *(renamed(image.objects, image.ignore, mapped) for _, image in pairs), strict=True
    )
    return Photos(
        classes=classes,
        unknown=tuple(name for name in ontology.names if name not in classes),
        truth=truth,
        ignore=ignore,
        names=tuple(image.name for _, image in pairs),
        uris=tuple(record.uri for record, _ in pairs),
        sides_wh=tuple((record.width, record.height) for record, _ in pairs),
    )


def renamed(
    objects: Objects, ignore: Bools, mapped: Mapping[str, str | None]
) -> tuple[Objects, Bools]:
    """Hand labels by the ontology's names, without the classes that are left out."""
    names = [mapped[label] for label in objects.label]
    used = np.array([name is not None for name in names], dtype=bool)
    label = np.array(names, dtype=object).reshape(len(names))
    return replace(objects, label=label)[used], ignore[used]
