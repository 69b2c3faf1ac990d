"""Which students are measured, and what they find in the photos, stored so that it is done once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.datasets.names import plain_name
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.ontology import Ontology
from autolabel.registry.checksums import sha256_of
from autolabel.stages.running import Reporter, derive, existing_root
from autolabel.stages.table import label_layers
from autolabel.store import STUDENT, Layer, Manifest, Workspace
from autolabel.train.base import THRESHOLD
from autolabel.train.folder import BEST, COMPLETE, read_run, threshold_of
from autolabel.types import Objects, Record

if TYPE_CHECKING:
    from autolabel.train.base import Student

NONE = "none"
MIN_SCORE = 0.001
MAX_OBJECTS = 300
"""What a student finds is kept down to this score and up to so many objects an image, for AP."""

_RESERVED = frozenset({*label_layers(), NONE})


@dataclass(frozen=True)
class Entrant:
    """A student to measure.

    Attributes:
        name: how the table calls it.
        weights: its `.pt` file.
        run: what its training wrote down (``run.json``); empty for a file from elsewhere.
    """

    name: str
    weights: Path
    run: Mapping[str, Any]

    @property
    def revision(self) -> str:
        """SHA-256 of the weights."""
        return f"sha256:{sha256_of(self.weights)}"

    @property
    def threshold(self) -> float | None:
        """The operating threshold that its training chose, if it did."""
        return threshold_of(self.run)

    def operating_point(self, config: EvaluateConfig) -> float:
        """From which score on what it finds counts for precision, recall and F1."""
        if config.student_threshold is not None:
            return config.student_threshold
        return THRESHOLD if self.threshold is None else self.threshold


def find_students(
    workspace: Workspace, config: EvaluateConfig, say: Callable[[str], None]
) -> list[Entrant]:
    """The students that `config` names; by default every one whose training is complete.

    Raises:
        AutolabelError: one that is named is not there, or its training is unfinished.
    """
    if NONE in config.student:
        return []
    home = workspace.path / "train"
    if not config.student:
        found = [_trained(folder) for folder in sorted(home.glob("[!.]*/")) if folder.is_dir()]
        for entrant in found:
            if not _is_complete(entrant):
                say(f"student {entrant.name} is left out: {_unfinished(entrant)}")
        return [entrant for entrant in found if _is_complete(entrant)]
    entrants: list[Entrant] = []
    for reference in config.student:
        entrant = _named(home, reference)
        taken = [other.name for other in entrants]
        if entrant.name in taken:
            entrant = replace(entrant, name=f"{entrant.name}-{len(taken) + 1}")
        entrants.append(entrant)
    return entrants


def _named(home: Path, reference: str) -> Entrant:
    file = Path(reference).expanduser()
    if file.suffix == ".pt" and file.is_file():
        run = read_run(file.parent)
        return Entrant(_safe(file.parent.name if run else file.stem), file, run)
    folder = home / reference
    if "/" in reference or not folder.is_dir() or reference in (".", ".."):
        known = sorted(p.name for p in home.glob("[!.]*/"))
        have = suggest(reference, known, "they are") if known else "autolabel train makes one"
        raise UsageError(f"there is no student {reference!r} below {home}", hint=have)
    entrant = _trained(folder)
    if not _is_complete(entrant):
        raise AutolabelError(
            f"student {entrant.name} cannot be measured: {_unfinished(entrant)}",
            hint=f"run autolabel train {home.parent} again; it goes on where it stopped",
        )
    return entrant


def _trained(folder: Path) -> Entrant:
    return Entrant(_safe(folder.name), folder / BEST, read_run(folder))


def _is_complete(entrant: Entrant) -> bool:
    return entrant.run.get("state") == COMPLETE and entrant.weights.is_file()


def _unfinished(entrant: Entrant) -> str:
    if entrant.run.get("state") == COMPLETE:
        return f"{entrant.weights.name} is missing"
    return "its training is unfinished"


def _safe(name: str) -> str:
    """A name that can be a folder, and that no layer of labels has."""
    plain = plain_name(name, "-").strip(".-") or STUDENT
    return f"{plain}-{STUDENT}" if plain in _RESERVED else plain


# -- predictions ------------------------------------------------------------------------------


def match_names(given: Sequence[str], ontology: Ontology, who: str) -> dict[str, str]:
    """A student's class -> the ontology's: as written, else whatever the case.

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
    """What a student finds, by the ontology's names; other classes of it are left out.

    Args:
        entrant: the student.
        ontology: the classes.
        photos: `image_id` of the images to look at; None for every usable one.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
    """

    def __init__(
        self,
        entrant: Entrant,
        ontology: Ontology,
        photos: Collection[str] | None,
        device: str,
    ) -> None:
        self.student = load(entrant, device)
        self.names = match_names(self.student.names, ontology, f"student {entrant.name}")
        self.photos = photos

    def wants(self, record: Record) -> bool:
        """The photos that are compared."""
        return record.usable and (self.photos is None or record.image_id in self.photos)

    def batch_key(self, record: Record) -> Hashable:
        """Students look at photos of one size together."""
        return record.width, record.height

    def __call__(self, batch: Sequence[Record]) -> list[Record]:
        """Records with what the student finds in them."""
        found = self.student.predict(
            [record.image() for record in batch], min_score=MIN_SCORE, max_objects=MAX_OBJECTS
        )
        return [
            replace(record, objects=_renamed(objects, self.names))
            for record, objects in zip(batch, found, strict=True)
        ]


def load(entrant: Entrant, device: str) -> Student:
    """The student, ready to predict."""
    from autolabel.train import load_student

    student: Student = load_student(entrant.weights, device)
    return student


def _renamed(objects: Objects, names: Mapping[str, str]) -> Objects:
    known = objects[[label in names for label in objects.label]] if len(objects) else objects
    label = known.label.copy()
    label[:] = [names[one] for one in known.label]
    return replace(known, label=label)


def predict(
    home: Workspace,
    entrant: Entrant,
    ontology: Ontology,
    photos: Collection[str] | None,
    engine: EngineConfig,
    report: Reporter,
) -> Layer:
    """The layer `student/NAME` of a workspace, made or brought up to date.

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
        },
        model={"name": entrant.name, "revision": entrant.revision},
        origin={"weights": str(entrant.weights.resolve())},
    )
    root = existing_root(home)
    make = partial(Predict, entrant, ontology, photos, engine.device)
    # One small model and few photos: an engine for many machines would only start up.
    local = engine.model_copy(update={"engine": "local"})
    with home.lock():
        return derive(
            home, f"{STUDENT}/{entrant.name}", home.require("images"), manifest, make, root,
            local, True, report, pixels=True,
        ).layer  # fmt: skip
