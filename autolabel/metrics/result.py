"""The result of an evaluation: what `evaluate/result.json` holds, and the terminal and report show.

Its JSON schema is `docs/schemas/evaluation.schema.json`. Keys are only ever added: what an earlier
version did not know has a default here, so that its results are still read.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from autolabel.errors import AutolabelError
from autolabel.reading import read_json

RESULT = "evaluate/result.json"
"""Where the last evaluation lies in a workspace, as ``{"key": …, "result": …}``."""

Interval = tuple[float, float] | None
"""The middle 95 % of the bootstrap samples; None where the figure is defined in none of them."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class BestF1(_Part):
    """Where F1 is highest; chosen on the very labels that it is measured on, and so optimistic."""

    threshold: float
    """Score from which predictions count."""
    f1: float
    precision: float | None = None
    recall: float | None = None


class Figures(_Part):
    """Figures of one class, or of all together; null where one is not defined."""

    ap: float | None = None
    """COCO's average precision: the mean over the IoU thresholds 0.5, 0.55 … 0.95."""
    ap50: float | None = None
    """Average precision at IoU 0.5."""
    ap75: float | None = None
    """Average precision at IoU 0.75."""
    ap_small: float | None = None
    """AP of objects of less than 32 x 32 pixels."""
    ap_medium: float | None = None
    """AP of objects of 32 x 32 up to 96 x 96 pixels."""
    ap_large: float | None = None
    """AP of objects of 96 x 96 pixels and more."""
    precision: float | None = None
    """Precision at the operating point."""
    recall: float | None = None
    """Recall at the operating point."""
    f1: float | None = None
    """F1 at the operating point."""
    best_f1: BestF1 | None = None
    """Where F1 would be highest."""


class ClassFigures(Figures):
    """Figures of one class, with the objects behind them."""

    truth: int = 0
    """Hand-labelled objects."""
    predicted: int = 0
    """Predictions at the operating point."""
    tp: int = 0
    """True positives at the operating point."""
    fp: int = 0
    """False positives at the operating point."""
    fn: int = 0
    """False negatives at the operating point."""


class Curve(_Part):
    """A precision-recall curve from the highest threshold down; three lists of equal length."""

    recall: list[float]
    precision: list[float]
    score: list[float] = []
    """Score from which predictions count at each point."""


class Confusion(_Part):
    """Which class is taken for which."""

    labels: list[str]
    """The classes, and `background` last."""
    matrix: list[list[int]]
    """Hand labels by row, predictions by column."""


class MaskFigures(_Part):
    """Figures of masks; null where one is not defined."""

    ap: float | None = None
    ap50: float | None = None
    ap75: float | None = None
    mean_iou: float | None = None
    """Mean IoU of the masks of objects whose boxes match at the operating point."""
    intervals: dict[str, Interval] = {}
    """95 % intervals, by figure."""


class WorstPhoto(_Part):
    """A photo with wrong or missed objects at the operating point."""

    name: str
    """As the hand labels call it."""
    uri: str
    """As the workspace calls it."""
    tp: int
    fp: int
    fn: int


class _OperatingPoint(_Part):
    score_threshold: float = 0.0
    """Operating point: the score from which predictions count for precision, recall and F1."""


class EntryFigures(Figures, _OperatingPoint):
    """All figures of one thing that was measured."""

    intervals: dict[str, Interval] = {}
    """95 % intervals, by figure; empty without a bootstrap."""
    classes: dict[str, ClassFigures] = {}
    """By class."""
    curves: dict[str, Curve] = {}
    """By class, at the IoU of the evaluation."""
    confusion: Confusion | None = None
    masks: MaskFigures | None = None
    """Null where the hand labels or the predictions have no masks."""
    worst: list[WorstPhoto] = []
    """Those with most wrong and missed objects, the worst first."""


class _Named(_Part):
    name: str
    kind: str
    """`teacher` (raw boxes), `labels`, `student` or `reference` (its hand-label baseline)."""
    layer: str = ""
    """The layer that holds what it found."""


class EntryResult(EntryFigures, _Named):
    """One thing that was measured: a layer of labels, or a student."""

    images_per_second: float | None = None
    """Null where it was not timed."""


class Estimate(_Part):
    """A difference or a share, with its paired 95 % interval."""

    value: float | None = None
    interval: Interval = None


class Difference(_Part):
    """The figures of one entry minus those of another, on the same photos."""

    of: str
    minus: str
    figures: dict[str, Estimate | None] = {}
    """By figure; those that both have."""


class BaselineShare(_Part):
    """What a student reaches of its hand-label baseline."""

    of: str
    """The student that learned from auto labels."""
    minus: str
    """The same student, trained on hand labels."""
    share: dict[str, Estimate | None] = {}
    """Figures of the one over those of the other, by figure."""
    images: int | None = None
    """Images with hand labels, of those that the student could learn from."""
    possible: int | None = None
    """Images that the student could learn from."""


class SpeedRounds(_Part):
    """What was measured in each round."""

    teacher_seconds_per_image: list[float]
    student_seconds_per_image: dict[str, list[float]] = {}
    times_faster: dict[str, list[float]] = {}


class Speed(_Part):
    """Images per second on one machine; medians over the rounds."""

    device: str = ""
    processor: str = ""
    cores: int | None = None
    threads: int | None = None
    batch_size: int | None = None
    """The one that was asked for; null where each model had its own."""
    batch_sizes: dict[str, int] = {}
    """Images that each model got at a time."""
    images: int | None = None
    """Photos that were timed."""
    image_sizes: list[tuple[int, int]] = []
    """Width and height of the photo of fewest and of most pixels; one where they are alike."""
    repeats: int | None = None
    """Rounds."""
    teacher: float | None = None
    """Images/s of the whole pipeline that made the labels."""
    students: dict[str, float | None] = {}
    """Images/s, by student."""
    times_faster: dict[str, float | None] = {}
    """How many times as fast as the teacher, by student."""
    times_faster_range: dict[str, tuple[float, float]] = {}
    """The least and the most over the rounds."""
    rounds: SpeedRounds | None = None


class Evaluation(_Part):
    """Teacher, labels and students against the same hand labels."""

    truth: str
    """The hand labels, as they were named."""
    images: int
    """Photos that everything was measured on."""
    iou: float = 0.5
    """From which a box counts as found, for precision, recall, F1 and the curves."""
    class_map: dict[str, str] = {}
    """A class of the hand labels -> its name in the workspace; only what was asked for."""
    bootstrap: int = 0
    """Bootstrap samples behind the intervals."""
    classes: list[str] = []
    """Classes that were measured."""
    classes_without_truth: list[str] = []
    """Classes of the workspace that the hand labels do not have."""
    without_truth: int = 0
    """Usable images that nobody labelled by hand."""
    unmatched: list[str] = []
    """Hand-labelled images that were not measured."""
    unmatched_reasons: dict[str, str] = {}
    """Why, by name."""
    workspace: str = "."
    """Where the layers that were measured are, from the workspace."""
    device: str = ""
    rows: list[EntryResult]
    """What was measured, in the order of the pipeline."""
    differences: list[Difference] = []
    reference: BaselineShare | None = None
    """Null without a hand-label baseline."""
    speed: Speed | None = None
    """Null where nothing was timed."""
    notes: list[str] = []
    """What a reader of the figures should know."""

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON values, with the keys that it was given, in the order of the schema."""
        return self.model_dump(mode="json", exclude_unset=True)


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of what `Evaluation.as_json` gives for an evaluation of today."""
    schema = Evaluation.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def read_result(path: Path) -> Evaluation:
    """Read the evaluation that a workspace keeps in `RESULT`.

    Raises:
        FileNotFoundError: there is none.
        AutolabelError: it is damaged, or of another version.
    """
    try:
        return Evaluation.model_validate(read_json(path)["result"])
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, ValidationError):
        raise AutolabelError(
            f"{path.name} is damaged or was written by another version",
            hint="run autolabel evaluate again",
        ) from None
