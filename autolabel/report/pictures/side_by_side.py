"""Hand labels, labels and the student's side by side, on the photos that were measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from autolabel.datasets.ground_truth import GroundTruthImage, read_ground_truth
from autolabel.datasets.truth_match import match_truth
from autolabel.errors import AutolabelError
from autolabel.evaluate.classes import map_classes, renamed
from autolabel.metrics.result import EntryResult, Evaluation
from autolabel.ontology import Ontology
from autolabel.report.pictures.image_budget import ImageBudget
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.report.pictures.scenes import (
    Panel,
    SceneShown,
    at_least,
    complete,
    judged,
    labelled,
)
from autolabel.report.records import records_of, without_objects
from autolabel.report.results import LABELS, STUDENT, last_of, measured_in
from autolabel.store import Workspace
from autolabel.types import Record


@dataclass
class SideBySide:
    """What `side_by_side` draws.

    Attributes:
        samples: photos with hand labels, labels and the student's, each in a panel.
        worst: for each thing measured its name and its worst photos.
        note: why nothing is shown, or empty.
    """

    samples: tuple[SceneShown, ...] = ()
    worst: tuple[tuple[str, tuple[SceneShown, ...]], ...] = ()
    note: str = ""


@dataclass(frozen=True)
class _Shown:
    """One thing measured, with its records of the photos that are shown, by image_id."""

    row: EntryResult
    title: str
    records: dict[str, Record]


def side_by_side(
    budget: ImageBudget,
    workspace: Workspace,
    ontology: Ontology,
    measured: Evaluation,
    images: int,
    gone: dict[str, str],
) -> SideBySide:
    """Draw at most so many photos of each kind."""
    home = measured_in(workspace, measured)
    titles = ((LABELS, "labels"), (STUDENT, "small detector"))
    rows = [(row, title) for kinds, title in titles if (row := last_of(measured, kinds))]
    rows = [(row, title) for row, title in rows if home and _has(home, row.layer)]
    if home is None or not rows:
        return SideBySide(note="The labels that were measured are no longer in this workspace.")
    try:
        truth = read_ground_truth(Path(measured.truth))
        mapped = map_classes(truth, ontology, measured.class_map)
    except AutolabelError as e:
        return SideBySide(note=f"The hand labels cannot be shown: {e.message}.")
    pairs = match_truth(without_objects(home.layer(rows[0][0].layer)), truth).pairs
    by_uri = {record.uri: image for record, image in pairs}
    chosen = [pairs[i][0].uri for i in _steps(len(pairs), images)]
    worst = {row.name: [w.uri for w in row.worst if w.uri in by_uri][:images] for row, _ in rows}
    ids = {record.uri: record.image_id for record, _ in pairs}
    wanted = {ids[uri] for uris in (chosen, *worst.values()) for uri in uris}
    shown = [_Shown(r, t, records_of(home.layer(r.layer), wanted)) for r, t in rows]
    draw = _Draw(budget, PhotoReader(home.source_root, gone), ontology.names, mapped, measured.iou)
    samples = tuple(draw.scenes(chosen, by_uri, ids, shown, draw.side_by_side))
    judgements = tuple(
        (one.title, tuple(draw.scenes(worst[one.row.name], by_uri, ids, [one], draw.judgement)))
        for one in shown
    )
    return SideBySide(samples, judgements)


def _has(home: Workspace, layer: str) -> bool:
    return bool(layer) and ".." not in PurePosixPath(layer).parts and home.layer(layer).exists


def _steps(count: int, most: int) -> list[int]:
    """Return at most so many places at even steps."""
    if count <= most:
        return list(range(count))
    return np.linspace(0, count - 1, most).round().astype(int).tolist() if most else []


_Panels = Callable[[Record, GroundTruthImage, Sequence[_Shown]], Iterator[Panel | None]]


@dataclass(frozen=True)
class _Draw:
    budget: ImageBudget
    photos: PhotoReader
    names: tuple[str, ...]
    mapped: dict[str, str | None]
    iou: float

    def scenes(
        self,
        uris: Sequence[str],
        truth: dict[str, GroundTruthImage],
        ids: dict[str, str],
        shown: Sequence[_Shown],
        panels: _Panels,
    ) -> Iterator[SceneShown]:
        """Yield one scene for each photo that is there."""
        for uri in uris:
            known = [one for one in shown if ids[uri] in one.records]
            if known:
                record = known[0].records[ids[uri]]
                drawn = complete(panels(record, truth[uri], known))
                if drawn:
                    yield SceneShown(truth[uri].name, drawn)

    def side_by_side(
        self, record: Record, image: GroundTruthImage, shown: Sequence[_Shown]
    ) -> Iterator[Panel | None]:
        canvas = self.photos.canvas(record)
        if canvas is not None:
            hand, _ = renamed(image.objects, image.ignore, self.mapped)
            yield labelled(self.budget, canvas, hand, self.names, "hand labels")
            for one in shown:
                objects = at_least(one.records[record.image_id].objects, one.row.score_threshold)
                yield labelled(self.budget, canvas, objects, self.names, one.title)

    def judgement(
        self, record: Record, image: GroundTruthImage, shown: Sequence[_Shown]
    ) -> Iterator[Panel | None]:
        canvas = self.photos.canvas(record)
        if canvas is not None:
            hand, ignore = renamed(image.objects, image.ignore, self.mapped)
            found = at_least(record.objects, shown[0].row.score_threshold)
            measured = np.isin(found.label.astype(str), [n for n in self.mapped.values() if n])
            yield judged(self.budget, canvas, found[measured], hand, ignore, self.iou)
