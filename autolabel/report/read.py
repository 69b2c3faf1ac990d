"""What `evaluate` and `train` left in the workspace, as far as it is there and whole.

The page must not fail over a file that an older version wrote or that a full disk cut off, so
whatever is missing is None or empty, and a note says what is wrong.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from autolabel.reading import read_json

Interval = tuple[float, float] | None


class Best(BaseModel):
    """Where F1 is highest."""

    threshold: float
    f1: float
    precision: float | None = None
    recall: float | None = None


class Figures(BaseModel):
    """Figures of one class, or of all together; None where one is not defined."""

    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    ap_small: float | None = None
    ap_medium: float | None = None
    ap_large: float | None = None
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    best_f1: Best | None = None


class ClassFigures(Figures):
    """Figures of one class, with the objects behind them."""

    truth: int = 0
    predicted: int = 0
    tp: int = 0
    fp: int = 0
    fn: int = 0


class Curve(BaseModel):
    """Points of a precision-recall curve."""

    recall: list[float]
    precision: list[float]


class Confusion(BaseModel):
    """Hand labels by row, predictions by column; the last of both is background."""

    labels: list[str]
    matrix: list[list[int]]


class Masks(BaseModel):
    """Figures of masks."""

    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    mean_iou: float | None = None
    intervals: dict[str, Interval] = {}


class Worst(BaseModel):
    """An image with wrong and missed objects."""

    name: str
    uri: str
    tp: int
    fp: int
    fn: int


class Row(Figures):
    """One thing that was measured."""

    name: str
    kind: str
    layer: str = ""
    score_threshold: float = 0.0
    intervals: dict[str, Interval] = {}
    classes: dict[str, ClassFigures] = {}
    curves: dict[str, Curve] = {}
    confusion: Confusion | None = None
    masks: Masks | None = None
    images_per_second: float | None = None
    worst: list[Worst] = []


class Change(BaseModel):
    """A difference or a share, with its interval."""

    value: float | None = None
    interval: Interval = None


class Difference(BaseModel):
    """One thing measured minus another."""

    of: str
    minus: str
    figures: dict[str, Change | None] = {}


class Reference(BaseModel):
    """How much of the figures of hand labels the machine's labels reach."""

    of: str
    minus: str
    share: dict[str, Change | None] = {}
    images: int | None = None
    possible: int | None = None


class Speed(BaseModel):
    """Images per second on one machine."""

    device: str = ""
    processor: str = ""
    cores: int | None = None
    threads: int | None = None
    batch_size: int | None = None
    batch_sizes: dict[str, int] = {}
    images: int | None = None
    image_sizes: list[tuple[int, int]] = []
    repeats: int | None = None
    teacher: float | None = None
    students: dict[str, float | None] = {}
    times_faster: dict[str, float | None] = {}
    times_faster_range: dict[str, tuple[float, float]] = {}


class Measured(BaseModel):
    """The content of evaluate/result.json."""

    truth: str
    images: int
    rows: list[Row]
    iou: float = 0.5
    bootstrap: int = 0
    classes: list[str] = []
    classes_without_truth: list[str] = []
    without_truth: int = 0
    unmatched_reasons: dict[str, str] = {}
    class_map: dict[str, str] = {}
    workspace: str = "."
    device: str = ""
    differences: list[Difference] = []
    reference: Reference | None = None
    speed: Speed | None = None
    notes: list[str] = []


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


def read_measured(path: Path) -> tuple[Measured | None, str]:
    """The last evaluation, and a note if there is a file that cannot be used."""
    try:
        data = read_json(path)
        return Measured.model_validate(data["result"]), ""
    except FileNotFoundError:
        return None, ""
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        return None, f"{path.name} is damaged or was written by another version"


def read_trainings(folder: Path) -> tuple[list[Training], list[str]]:
    """Every training with a run.json, by name, and a note for each that cannot be read."""
    found: list[Training] = []
    notes: list[str] = []
    for path in sorted(folder.glob("[!.]*/run.json")):
        try:
            run = read_json(path)
            if not isinstance(run, dict):
                raise ValueError
            found.append(Training(path.parent.name, run, _epochs(path.parent / "metrics.csv")))
        except (OSError, ValueError, csv.Error):
            notes.append(f"train/{path.parent.name}/ is damaged and left out")
    return found, notes


def _epochs(path: Path) -> dict[str, list[float]]:
    """Columns of numbers; a last line that was cut off is left out."""
    if not path.is_file():
        return {}
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
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
