"""A workspace, and what can be done with it: each method is a command of the same name."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autolabel.api.layer import Layer
from autolabel.api.options import OnProgress, as_text, configs, reporter
from autolabel.config import (
    EvaluateConfig,
    ExportConfig,
    ImportConfig,
    ReportConfig,
    TrainConfig,
    build,
)
from autolabel.errors import UsageError
from autolabel.stages.labels import Say, quiet
from autolabel.stages.running import StageResult
from autolabel.stages.table import STAGES
from autolabel.store import Workspace as Store

if TYPE_CHECKING:
    from autolabel.corrections.importing import ImportSummary
    from autolabel.datasets.export import ExportResult
    from autolabel.metrics.result import Evaluation
    from autolabel.report import ReportResult
    from autolabel.train import TrainResult


class Workspace:
    """A folder of images, labels and what was made of them.

    The methods are the commands: `ingest`, `detect`, `refine`, `filter`, `export`, `train`,
    `evaluate`, `report`. Each takes the command's options as keywords (`box_threshold=0.25` is
    `--box-threshold 0.25`), with the same defaults and errors, besides those of how it runs:
    `device`, `batch_size`, `workers`, `engine`. What is complete is not done again, and what was
    stopped goes on. ``workspace["detect"]`` is a layer.

    Args:
        path: the folder; it is made by the first `ingest`.
        progress: called as (stage, images done, images to do) while a stage works.
        say: called with a line that the command would print, such as a warning.

    Examples:
        >>> import tempfile, autolabel as al
        >>> ws = al.Workspace(tempfile.mkdtemp() + "/ws")
        >>> ws.ingest("sample_data/blood_cells/validation", workers=1).images
        72
        >>> ws.layers
        ['scan', 'images']
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        progress: OnProgress | None = None,
        say: Say | None = None,
    ) -> None:
        self.path = Path(path)
        self._store = Store(self.path)
        self._progress = progress
        self._say = say or quiet

    def __repr__(self) -> str:
        return f"autolabel.Workspace({str(self.path)!r})"

    # -- layers -----------------------------------------------------------------------------

    @property
    def layers(self) -> list[str]:
        """Names of the layers, each after the one that it was made from."""
        return [layer.name for layer in self._store.layers()]

    def __getitem__(self, name: str) -> Layer:
        """Return a layer, as it is now.

        Raises:
            AutolabelError: there is none of that name, or it is damaged.
        """
        return Layer(self._store, self._store.require(name))

    def __contains__(self, name: object) -> bool:
        return name in self.layers

    def __iter__(self) -> Iterator[str]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __bool__(self) -> bool:
        return True

    # -- stages -----------------------------------------------------------------------------

    def ingest(
        self, *source: str | os.PathLike[str], overwrite: bool = False, **options: Any
    ) -> StageResult:
        """Add images, and mark repeats, leaks and files that cannot be read.

        Args:
            source: files, folders and globs.
            overwrite: whether rules that differ from the workspace's replace them.
            options: of `autolabel ingest`, as ``holdout``.

        Raises:
            AutolabelError: a source is missing, or the rules differ.
        """
        return self._run("ingest", {**options, "source": source}, overwrite=overwrite, inherit=True)

    def detect(
        self,
        prompts: str | Sequence[str] = (),
        *,
        from_layer: str = "images",
        overwrite: bool = False,
        **options: Any,
    ) -> StageResult:
        """Find what the prompts name: text prompts to boxes, the layer ``detect``.

        Args:
            prompts: what to find, as ``"cat"`` or ``"RBC=red blood cell, erythrocyte"``; those of
                before by default.
            from_layer: the layer whose images to work on.
            overwrite: whether settings that differ from the layer's replace it.
            options: of `autolabel detect`, as ``model``, ``negative`` and ``box_threshold``.

        Raises:
            AutolabelError: there is no model or source layer, or the settings differ.
        """
        if prompts:
            options["prompt"] = (prompts,) if isinstance(prompts, str) else tuple(prompts)
        return self._run("detect", options, overwrite=overwrite, from_layer=from_layer)

    def refine(
        self, *, from_layer: str = "detect", overwrite: bool = False, **options: Any
    ) -> StageResult:
        """Turn the kept boxes into masks, the layer ``refine``.

        Args:
            from_layer: the layer whose boxes to refine.
            overwrite: whether settings that differ from the layer's replace it.
            options: of `autolabel refine`, as ``model``.

        Raises:
            AutolabelError: there is no model or source layer, or the settings differ.
        """
        return self._run("refine", options, overwrite=overwrite, from_layer=from_layer)

    def filter(
        self, *, from_layer: str | None = None, overwrite: bool = False, **options: Any
    ) -> StageResult:
        """Reject labels that do not belong, each with its reason, the layer ``filter``.

        Args:
            from_layer: the labels to filter; ``refine`` or else ``detect`` by default.
            overwrite: whether settings that differ from the layer's replace it.
            options: of `autolabel filter`, as ``clip``, ``dinov2`` and ``min_side``.

        Raises:
            AutolabelError: there is no model or source layer, or the settings differ.
        """
        return self._run("filter", options, overwrite=overwrite, from_layer=from_layer)

    def run_stage(self, name: str, *, overwrite: bool = False, **options: Any) -> StageResult:
        """Run a stage by its name, as one that a plugin brings.

        Raises:
            UsageError: there is no such stage.
            AutolabelError: as the stage's own method.
        """
        if name not in STAGES:
            raise UsageError(f"there is no stage {name!r}", hint=f"stages: {', '.join(STAGES)}")
        return self._run(name, options, overwrite=overwrite)

    def import_labels(
        self, source: str | os.PathLike[str], *, dry_run: bool = False, **options: Any
    ) -> ImportSummary:
        """Read labels that people drew or corrected; no later stage changes what they did.

        Args:
            source: a file or folder, in any format that is read.
            dry_run: whether to say only what they would change.
            options: of `autolabel import`, as ``by`` and ``class_map``.

        Raises:
            AutolabelError: they cannot be read, or none of their images is in the workspace.
        """
        from autolabel.stages.importing import import_labels

        config, engine = configs(ImportConfig, options)
        return import_labels(
            self._store, Path(source), config, engine, dry_run=dry_run,
            report=reporter(self._progress),
        )  # fmt: skip

    def _run(self, name: str, options: dict[str, Any], **how: Any) -> StageResult:
        config, engine = configs(STAGES[name].config, options)
        found: StageResult = STAGES[name].run(
            self._store, config, engine, report=reporter(self._progress), **how
        )
        return found

    # -- products ---------------------------------------------------------------------------

    def export(
        self,
        out: str | os.PathLike[str],
        format: str = "coco",
        *,
        allow_unfinished: bool = False,
        **options: Any,
    ) -> ExportResult:
        """Write the kept labels as a dataset.

        Args:
            out: folder of the dataset.
            format: ``coco``, ``yolo`` or one that a plugin brings.
            allow_unfinished: whether labels that are unfinished or stale will do.
            options: of `autolabel export`, as ``val_share`` and ``from_layer``.

        Raises:
            AutolabelError: there are no labels, or the folder holds something else.
        """
        from autolabel.pipeline.products import export_labels

        given = {**options, "format": format, "out": as_text(out)}
        config = build(ExportConfig, given, flags=False)
        home, say = self._store, self._say
        return export_labels(home, config, allow_unfinished=allow_unfinished, say=say)[0]

    def train(
        self, *, overwrite: bool = False, allow_unfinished: bool = False, **options: Any
    ) -> TrainResult:
        """Train a small YOLO student on the kept labels; ultralytics is under AGPL-3.0.

        Args:
            overwrite: whether to train anew where settings or labels differ.
            allow_unfinished: whether labels that are unfinished or stale will do.
            options: of `autolabel train`, as ``student``, ``epochs`` and ``imgsz``.

        Raises:
            AutolabelError: there are no labels, the trainer is not installed, or settings differ.
        """
        from autolabel.pipeline.products import train_student

        config, engine = configs(TrainConfig, options)
        return train_student(
            self._store, config, engine, overwrite=overwrite, allow_unfinished=allow_unfinished,
            report=reporter(self._progress), say=self._say,
        )[0]  # fmt: skip

    def evaluate(
        self, truth: str | os.PathLike[str], *, allow_unfinished: bool = False, **options: Any
    ) -> Evaluation:
        """Measure raw boxes, labels and students on the same hand-labelled photos.

        Args:
            truth: hand labels, as COCO, YOLO or Pascal VOC.
            allow_unfinished: whether labels that are unfinished or stale will do.
            options: of `autolabel evaluate`, as ``layer``, ``iou`` and ``bootstrap``.

        Raises:
            AutolabelError: photos, classes or models do not fit.
        """
        from autolabel.pipeline.products import evaluate_labels

        config, engine = configs(EvaluateConfig, {**options, "truth": truth})
        return evaluate_labels(
            self._store, config, engine, allow_unfinished=allow_unfinished,
            report=reporter(self._progress), say=self._say,
        )[0]  # fmt: skip

    def report(
        self,
        out: str | os.PathLike[str] | None = None,
        *,
        allow_unfinished: bool = False,
        **options: Any,
    ) -> ReportResult:
        """Write one HTML page that tells whether to trust the labels and the small detector.

        Args:
            out: the page; ``report/report.html`` in the workspace by default.
            allow_unfinished: whether labels that are unfinished or stale will do.
            options: of `autolabel report`, as ``layer``.

        Raises:
            AutolabelError: there are no labels, or the page cannot be written.
        """
        from autolabel.pipeline.products import write_page

        given = {**options, **({"out": as_text(out)} if out is not None else {})}
        config = build(ReportConfig, given, flags=False)
        return write_page(self._store, config, allow_unfinished=allow_unfinished, say=self._say)[0]
