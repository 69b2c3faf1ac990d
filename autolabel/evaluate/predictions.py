"""What students find in the photos: layers of a workspace, made once."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from autolabel.config import EngineConfig
from autolabel.errors import AutolabelError
from autolabel.evaluate.students import TrainedStudent
from autolabel.ontology import Ontology
from autolabel.ops.relabel import relabelled
from autolabel.stages.running import Reporter, derive, existing_root
from autolabel.store import STUDENT, Layer, Manifest, Workspace
from autolabel.types import Objects, Record

if TYPE_CHECKING:
    from autolabel.train.base import Student

Renamed = Sequence[Mapping[str, str | None]]
MIN_SCORE = 0.001
MAX_OBJECTS = 300
"""What a student finds is kept down to this score and up to so many objects an image, for AP."""


def match_names(given: Sequence[str], ontology: Ontology, who: str) -> dict[str, str]:
    """Map a student's classes to the ontology's: as written, else whatever the case.

    Raises:
        AutolabelError: no class is in both.
    """
    folded = {name.casefold(): name for name in reversed(ontology.names)}
    matched = {
        name: name if name in ontology.names else folded[name.casefold()]
        for name in given
        if name in ontology.names or name.casefold() in folded
    }
    if not matched:
        raise AutolabelError(
            f"{who} knows none of the classes: it finds {_listed(given)}, "
            f"the workspace has {_listed(ontology.names)}",
            hint="name a student of these classes with --student, or --student none",
        )
    return matched


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(repr, names[:10])) + more


class Predict:
    """Find what a student finds, by the ontology's names; other classes of it are left out.

    Args:
        student: the student.
        ontology: the classes.
        photos: `image_id` of the images to look at; None for every usable one.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        renamed: what became of classes since the student may have learned them, the first first:
            old name -> new name, or None.
    """

    def __init__(
        self,
        student: TrainedStudent,
        ontology: Ontology,
        photos: Collection[str] | None,
        device: str,
        renamed: Renamed = (),
    ) -> None:
        self.student = load_trained(student, device)
        self.renamed = renamed
        known = [_new_name(name, renamed) for name in self.student.names]
        called = [name for name in dict.fromkeys(known) if name is not None]
        self.names = match_names(called, ontology, f"student {student.name}")
        self.photos = photos

    def wants(self, record: Record) -> bool:
        """Say whether a record is a photo that is measured."""
        return record.usable and (self.photos is None or record.image_id in self.photos)

    def batch_key(self, record: Record) -> Hashable:
        """Put photos of one size together."""
        return record.width, record.height

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Return records with what the student finds in them."""
        found = self.student.predict(
            [record.image() for record in batch], min_score=MIN_SCORE, max_objects=MAX_OBJECTS
        )
        for new in self.renamed:
            found = [relabelled(objects, new).kept for objects in found]
        return [
            replace(record, objects=_renamed(objects, self.names))
            for record, objects in zip(batch, found, strict=True)
        ]


def load_trained(student: TrainedStudent, device: str) -> Student:
    """Load a student, to predict with."""
    from autolabel.train import load_student

    loaded: Student = load_student(student.weights, device)
    return loaded


def _new_name(name: str, renamed: Renamed) -> str | None:
    """Return what a class is called now; None where it was dropped."""
    for new in renamed:
        called = new.get(name, name)
        if called is None:
            return None
        name = called
    return name


def _renamed(objects: Objects, names: Mapping[str, str]) -> Objects:
    known = objects[[label in names for label in objects.label]] if len(objects) else objects
    label = known.label.copy()
    label[:] = [names[one] for one in known.label]
    return replace(known, label=label)


def predict(
    home: Workspace,
    student: TrainedStudent,
    ontology: Ontology,
    photos: Collection[str] | None,
    engine: EngineConfig,
    report: Reporter,
    renamed: Renamed = (),
) -> Layer:
    """Make the layer `student/NAME` of a workspace, or bring it up to date.

    Raises:
        AutolabelError: the student does not load, or knows none of the classes.
    """
    ids = "\n".join(sorted(photos)) if photos is not None else None
    manifest = Manifest(
        stage=STUDENT,
        settings={
            "classes": list(ontology.names),
            "min_score": MIN_SCORE,
            "max_objects": MAX_OBJECTS,
            "photos": ids and hashlib.sha256(ids.encode()).hexdigest(),
            **({"renamed": [dict(new) for new in renamed]} if renamed else {}),
        },
        model={"name": student.name, "revision": student.revision},
        origin={"weights": str(student.weights.resolve())},
    )
    root = existing_root(home)
    make = partial(Predict, student, ontology, photos, engine.device, renamed)
    # One small model and few photos: an engine for many machines would only start up.
    local = engine.model_copy(update={"engine": "local"})
    with home.lock():
        return derive(
            home, f"{STUDENT}/{student.name}", home.require("images"), manifest, make, root,
            local, True, report, pixels=True,
        ).layer  # fmt: skip
