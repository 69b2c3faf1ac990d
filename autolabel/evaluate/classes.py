"""Which class of the hand labels is which class of the ontology."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from autolabel.datasets.ground_truth import GroundTruth
from autolabel.errors import AutolabelError, nearest, suggest
from autolabel.ontology import Ontology
from autolabel.ops.arrays import Bools
from autolabel.types import Objects


def map_classes(
    truth: GroundTruth, ontology: Ontology, class_map: Mapping[str, str]
) -> dict[str, str | None]:
    """Return the ontology's name for each class of the hand labels; None for one that is left out.

    A name is looked up in `class_map` first (an empty name there leaves the class out), then in
    the ontology as written, then whatever the case. A class that is neither found nor used is
    left out.

    Raises:
        AutolabelError: a class that is used is unknown, or `class_map` names one that is.
    """
    for given, name in class_map.items():
        if given not in truth.names:
            raise AutolabelError(
                f"--class-map names {given!r}, which is not a class of the hand labels",
                hint=suggest(given, truth.names, "their classes are"),
            )
        if name and name not in ontology.names:
            raise AutolabelError(
                f"--class-map maps {given!r} to {name!r}, which is not a class of the workspace",
                hint=suggest(name, ontology.names, "its classes are"),
            )
    folded = {name.casefold(): name for name in reversed(ontology.names)}
    mapped: dict[str, str | None] = {}
    for name in truth.names:
        exact = name if name in ontology.names else folded.get(name.casefold())
        mapped[name] = class_map.get(name, exact) or None
    used = {label for image in truth.records for label in image.objects.label}
    unknown = [n for n in truth.names if mapped[n] is None and n in used and n not in class_map]
    if unknown:
        raise _unknown(unknown, ontology)
    return mapped


def _unknown(names: list[str], ontology: Ontology) -> AutolabelError:
    listed = ", ".join(map(repr, names))
    lower = {name.casefold(): name for name in ontology.names}
    near = nearest(names[0].casefold(), lower, cutoff=0)
    target = lower[near] if near else ontology.names[0]
    return AutolabelError(
        f"the hand labels have classes that the workspace has not: {listed}",
        hint=f'add --class-map "{names[0]}={target}", or --class-map "{names[0]}=" to leave it '
        f"out; the workspace's classes are: {', '.join(ontology.names)}",
    )


def renamed(
    objects: Objects, ignore: Bools, mapped: Mapping[str, str | None]
) -> tuple[Objects, Bools]:
    """Return hand labels by the ontology's names, without the classes that are left out."""
    names = [mapped[label] for label in objects.label]
    used = np.array([name is not None for name in names], dtype=bool)
    label = np.array(names, dtype=object).reshape(len(names))
    return replace(objects, label=label)[used], ignore[used]
