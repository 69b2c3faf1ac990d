"""Everything that the page says, read from the workspace."""

from __future__ import annotations

from dataclasses import dataclass

from autolabel.config import ReportConfig
from autolabel.errors import AutolabelError
from autolabel.metrics.result import RESULT, Evaluation
from autolabel.ontology import Ontology
from autolabel.report.layer_statistics import LayerStatistics, layer_statistics
from autolabel.report.page.conclusions import Conclusions, conclude
from autolabel.report.page.outdated import outdated
from autolabel.report.page.provenance import Provenance, read_provenance
from autolabel.report.pictures.gallery import Gallery, gallery
from autolabel.report.pictures.image_budget import ImageBudget
from autolabel.report.pictures.photo_reader import PhotoReader
from autolabel.report.pictures.side_by_side import SideBySide, side_by_side
from autolabel.report.results import Training, read_measured, read_trainings
from autolabel.review.audit_result import AuditResult, last_audit
from autolabel.stages.corrected import corrections_by_action
from autolabel.stages.history import StageRun, stage_runs
from autolabel.stages.table import CORRECTED
from autolabel.store import Counts, Layer, Workspace


@dataclass(frozen=True)
class ReportContext:
    """What the page says.

    Attributes:
        images: counts of the photos that were ingested.
        statistics: of the layer.
        audit: what people said of a random sample, if they did.
        gone: uri -> what is wrong, of photos that could not be read.
        corrections: how many objects people drew, moved, relabelled, confirmed and deleted.
        left_out: pictures for which there was no room.
    """

    workspace: str
    layer: str
    ontology: Ontology
    conclusions: Conclusions
    images: Counts
    statistics: LayerStatistics
    runs: tuple[StageRun, ...]
    corrections: dict[str, int]
    measured: Evaluation | None
    audit: AuditResult | None
    trainings: tuple[Training, ...]
    side_by_side: SideBySide
    gallery: Gallery
    gone: dict[str, str]
    left_out: int
    provenance: Provenance


def read_context(
    workspace: Workspace, layer: Layer, ontology: Ontology, config: ReportConfig
) -> ReportContext:
    """Read what there is; each large layer is looked over by its columns, once."""
    statistics = layer_statistics(layer, crops=config.crops, images=config.images)
    measured, damaged = read_measured(workspace.path / RESULT)
    trainings, broken = read_trainings(workspace.path / "train")
    notes = [f"{text}; it is not shown." for text in (damaged, *broken) if text]
    notes += outdated(workspace, layer, measured, trainings)
    audit = None
    try:
        audit = last_audit(workspace, layer)
    except AutolabelError as e:
        notes.append(f"{e.message}: no audit is shown.")
    budget, gone = ImageBudget(), dict[str, str]()
    compared = SideBySide()
    if measured is not None and config.images:
        compared = side_by_side(budget, workspace, ontology, measured, config.images, gone)
    photos = PhotoReader(workspace.source_root, gone)
    shown = gallery(budget, photos, layer, ontology.names, statistics)
    return ReportContext(
        workspace=workspace.path.resolve().name,
        layer=layer.name,
        ontology=ontology,
        conclusions=conclude(statistics, ontology.names, measured, trainings, notes),
        images=workspace.require("images").counts(),
        statistics=statistics,
        runs=tuple(stage_runs(workspace, layer)),
        corrections=corrections_by_action(workspace) if layer.name == CORRECTED else {},
        measured=measured,
        audit=audit,
        trainings=tuple(trainings),
        side_by_side=compared,
        gallery=shown,
        gone=gone,
        left_out=budget.left_out,
        provenance=read_provenance(workspace, layer, measured, trainings),
    )
