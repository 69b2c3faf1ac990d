"""Which students are measured: those that are named, or all whose training is complete."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from autolabel.config import EvaluateConfig
from autolabel.datasets.names import plain_name
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.registry.checksums import sha256_of
from autolabel.stages.table import label_layers
from autolabel.store import STUDENT, Workspace
from autolabel.train.base import THRESHOLD
from autolabel.train.folder import BEST, COMPLETE, read_run, threshold_of

NONE = "none"
"""What `--student` says for no student."""

_RESERVED = frozenset({*label_layers(), NONE})


@dataclass(frozen=True)
class TrainedStudent:
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
        """Return the SHA-256 of the weights."""
        return f"sha256:{sha256_of(self.weights)}"

    @property
    def threshold(self) -> float | None:
        """Return the operating threshold that its training chose, if it did."""
        return threshold_of(self.run)

    def operating_point(self, config: EvaluateConfig) -> float:
        """Return the score from which what it finds counts for precision, recall and F1."""
        if config.student_threshold is not None:
            return config.student_threshold
        return THRESHOLD if self.threshold is None else self.threshold


def find_students(
    workspace: Workspace, config: EvaluateConfig, say: Callable[[str], None]
) -> list[TrainedStudent]:
    """Find the students that `config` names; by default every one whose training is complete.

    Raises:
        AutolabelError: one that is named is not there, or its training is unfinished.
    """
    if NONE in config.student:
        return []
    home = workspace.path / "train"
    if not config.student:
        found = [_trained(folder) for folder in sorted(home.glob("[!.]*/")) if folder.is_dir()]
        for student in found:
            if not _is_complete(student):
                say(f"student {student.name} is left out: {_unfinished(student)}")
        return [student for student in found if _is_complete(student)]
    students: list[TrainedStudent] = []
    for reference in config.student:
        student = _named(home, reference)
        taken = [other.name for other in students]
        if student.name in taken:
            student = replace(student, name=f"{student.name}-{len(taken) + 1}")
        students.append(student)
    return students


def _named(home: Path, reference: str) -> TrainedStudent:
    file = Path(reference).expanduser()
    if file.suffix == ".pt" and file.is_file():
        run = read_run(file.parent)
        return TrainedStudent(_safe(file.parent.name if run else file.stem), file, run)
    folder = home / reference
    if "/" in reference or not folder.is_dir() or reference in (".", ".."):
        known = sorted(p.name for p in home.glob("[!.]*/"))
        have = suggest(reference, known, "they are") if known else "autolabel train makes one"
        raise UsageError(f"there is no student {reference!r} below {home}", hint=have)
    student = _trained(folder)
    if not _is_complete(student):
        raise AutolabelError(
            f"student {student.name} cannot be measured: {_unfinished(student)}",
            hint=f"run autolabel train {home.parent} again; it goes on where it stopped",
        )
    return student


def _trained(folder: Path) -> TrainedStudent:
    return TrainedStudent(_safe(folder.name), folder / BEST, read_run(folder))


def _is_complete(student: TrainedStudent) -> bool:
    return student.run.get("state") == COMPLETE and student.weights.is_file()


def _unfinished(student: TrainedStudent) -> str:
    if student.run.get("state") == COMPLETE:
        return f"{student.weights.name} is missing"
    return "its training is unfinished"


def _safe(name: str) -> str:
    """Return a name that can be a folder, and that no layer of labels has."""
    plain = plain_name(name, "-").strip(".-") or STUDENT
    return f"{plain}-{STUDENT}" if plain in _RESERVED else plain
