"""What `evaluate` and `train` left in the workspace, as far as it is there and whole.

The page must not fail over a file that an older version wrote or that a full disk cut off, so
whatever is missing is None or empty, and a note says what is wrong.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autolabel.errors import AutolabelError
from autolabel.metrics.result import EntryResult, Evaluation, read_result
from autolabel.reading import read_json, read_regular
from autolabel.store import Workspace

LABELS, STUDENT = ("labels", "teacher"), ("student",)
"""Kinds of what was measured, the one that is shown first."""


def last_of(measured: Evaluation | None, kinds: Sequence[str]) -> EntryResult | None:
    """Return the last thing measured of the first kind that there is."""
    for kind in kinds:
        rows = [row for row in measured.rows if row.kind == kind] if measured else []
        if rows:
            return rows[-1]
    return None


_LARGEST = 2**24
"""Bytes of what is read of a training; a million epochs take a tenth of that a column."""


@dataclass(frozen=True)
class Training:
    """One folder train/NAME.

    Attributes:
        name: of the folder.
        run: what run.json says.
        epochs: name of a column of metrics.csv -> its values by epoch.
    """

    name: str
    run: dict[str, Any]
    epochs: dict[str, list[float]] = field(default_factory=dict)

    def part(self, key: str) -> dict[str, Any]:
        """Return a mapping that run.json holds; empty where it holds none of that name."""
        found = self.run.get(key)
        return found if isinstance(found, dict) else {}


def read_measured(path: Path) -> tuple[Evaluation | None, str]:
    """Read the last evaluation, with a note if there is a file that cannot be used."""
    try:
        return read_result(path), ""
    except FileNotFoundError:
        return None, ""
    except AutolabelError as e:
        return None, str(e)


def measured_in(workspace: Workspace, measured: Evaluation) -> Workspace | None:
    """Return the workspace whose layers were measured, if it still lies in this one."""
    home = workspace.path.resolve()
    path = (home / measured.workspace).resolve()
    there = path.is_relative_to(home) and (path / "images").is_dir()
    return Workspace(path) if there else None


def read_trainings(folder: Path) -> tuple[list[Training], list[str]]:
    """Read every training with a run.json, by name, and a note for each that is damaged."""
    found: list[Training] = []
    notes: list[str] = []
    for path in sorted(folder.glob("[!.]*/run.json")):
        try:
            run = read_json(path, _LARGEST)
            if not isinstance(run, dict):
                raise ValueError
            found.append(Training(path.parent.name, run, _epochs(path.parent / "metrics.csv")))
        except (OSError, ValueError, csv.Error):
            notes.append(f"train/{path.parent.name}/ is damaged and left out")
    return found, notes


def _epochs(path: Path) -> dict[str, list[float]]:
    """Read columns of numbers; a last line that was cut off is left out."""
    try:
        text = read_regular(path, _LARGEST).decode("utf-8")
    except FileNotFoundError:
        return {}
    rows = list(csv.reader(io.StringIO(text, newline="")))
    if not rows:
        return {}
    names = [name.strip() for name in rows[0]]
    numbers = [parsed for row in rows[1:] if (parsed := _numbers(row)) and len(row) == len(names)]
    return {name: [row[i] for row in numbers] for i, name in enumerate(names)}


def _numbers(row: list[str]) -> list[float] | None:
    try:
        return [float(cell) if cell.strip() else float("nan") for cell in row]
    except ValueError:
        return None
