"""The commands but for those of stages; each imports what it runs only when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from autolabel.cli import (
    commands_review,  # noqa: F401 - its command
    commands_serve,  # noqa: F401 - its command
    show,
)
from autolabel.cli.arguments import (
    AllowUnfinished,
    Given,
    Json,
    SourceRoot,
    example,
    typed_path,
)
from autolabel.cli.commands_formats import formats
from autolabel.cli.commands_labels import app  # with the commands of stages, which come first
from autolabel.cli.commands_models import catalogue
from autolabel.cli.complete import choices, classes, layers
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source
from autolabel.config import (
    EngineConfig,
    EvaluateConfig,
    ExportConfig,
    ReportConfig,
    TrainConfig,
)
from autolabel.errors import AutolabelError, UsageError, suggest
from autolabel.pipeline.file import file_model, known_steps, read_pipeline

__all__ = ["app"]

app.add_typer(catalogue, name="models")


@app.command(epilog=example("export ws --format yolo --out dataset --val-share 0.2"))
@expand
def export(
    workspace: Given,
    source_root: SourceRoot = None,
    allow_unfinished: AllowUnfinished = False,
    json: Json = False,
    *,
    config: ExportConfig,
) -> None:
    """Write the kept labels as a dataset for trainers and annotation tools.

    Class ids are those of the workspace, whatever was looked for last; classes that are dropped
    here leave no gap. What the format does not carry is counted: `autolabel formats` says what
    each does.
    """
    from autolabel.pipeline.products import export_labels

    home = existing(workspace)
    move_source(home, source_root)
    done, labels = export_labels(home, config, allow_unfinished=allow_unfinished, say=show.message)
    show.exported(done, json, **labels.counts())


app.command(epilog=example("formats --json"))(formats)


@app.command(epilog=example("train ws --student yolo26n.yaml --epochs 50 --device 0"))
@expand
def train(
    workspace: Given,
    source_root: SourceRoot = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Train anew where settings or labels differ; the old student stays until the new "
            "one is complete.",
        ),
    ] = False,
    allow_unfinished: AllowUnfinished = False,
    json: Json = False,
    *,
    config: TrainConfig,
    engine: Annotated[EngineConfig, {"engine", "batch_size", "workers"}],
) -> None:
    """Train a small YOLO student on the kept labels.

    The trainer is ultralytics, an extra: `pip install 'autolabel[train]'`. It is under
    **AGPL-3.0**, and its makers say so of the weights that it trains too. Nothing is fetched or
    sent. A stopped training goes on where it was.
    """
    from autolabel.pipeline.products import train_student

    home = existing(workspace)
    move_source(home, source_root)
    with show.Reporter() as report, show.stopping("run the same command again"):
        done, labels = train_student(
            home, config, engine, overwrite=overwrite, allow_unfinished=allow_unfinished,
            report=report, say=show.message,
        )  # fmt: skip
    show.trained(done, json, **labels.counts())


@app.command(epilog=example("evaluate ws --truth hand-labelled/annotations.json"))
@expand
def evaluate(
    workspace: Given,
    allow_unfinished: AllowUnfinished = False,
    json: Json = False,
    *,
    config: EvaluateConfig,
    engine: EngineConfig,
) -> None:
    """Measure raw boxes, labels and students on the same hand-labelled photos, with intervals."""
    from autolabel.cli.show_evaluation import evaluation
    from autolabel.pipeline.products import evaluate_labels

    home = existing(workspace)
    with show.Reporter() as report, show.stopping("run the same command again"):
        result, labels = evaluate_labels(
            home, config, engine, allow_unfinished=allow_unfinished,
            report=report, say=show.message,
        )  # fmt: skip
    if json:
        show.data({**result.as_json(), **labels.counts()})
    else:
        evaluation(result)


@app.command(epilog=example("report ws --open"))
@expand
def report(
    workspace: Given,
    source_root: SourceRoot = None,
    allow_unfinished: AllowUnfinished = False,
    json: Json = False,
    *,
    config: ReportConfig,
) -> None:
    """Write one HTML page that tells whether to trust the labels and the small detector."""
    from autolabel.cli.run import open_page
    from autolabel.pipeline.products import write_page

    home = existing(workspace)
    move_source(home, source_root)
    done, labels = write_page(home, config, allow_unfinished=allow_unfinished, say=show.message)
    if config.open:
        open_page(done.out)
    show.reported(done, json, **labels.counts())


@app.command(epilog=example("init pipeline.yaml"))
def init(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", parser=typed_path, help="The pipeline file to write.")
    ] = Path("pipeline.yaml"),
) -> None:
    """Write a pipeline file to start from, with every option, its default and what it does.

    A file that is there is left alone.
    """
    from autolabel.config.starter import starter

    try:
        with file.open("x", encoding="utf-8") as new:
            new.write(starter(file.name, file_model()))
    except FileExistsError:
        raise UsageError(f"{file} is there already", hint="name another file") from None
    except OSError as e:
        raise AutolabelError(
            f"{file} cannot be written: {e.strerror}", hint="name a file in a folder that exists"
        ) from e
    show.message(f"{file}: change the lines marked with <-, then: autolabel run {file} --dry-run")


@app.command(epilog=example("run pipeline.yaml --set detect.box_threshold=0.25 --dry-run"))
def run(
    file: Annotated[
        Path, typer.Argument(metavar="CONFIG.yaml", parser=typed_path, help="The pipeline file.")
    ],
    override: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Override a value: `--set detect.box_threshold=0.25`. Repeat it for more. "
            "`--set workspace=DIR` moves what the file puts into the workspace, exports included.",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            metavar="STEP", help="Stop after this step.", autocompletion=choices(known_steps)
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and why; write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Run a whole pipeline from one file; only what is stale or unfinished is done.

    Photos, prompts, models, student, hand labels and places to write are checked before the first
    photo. `autolabel init` writes a file to start from.
    """
    from autolabel.cli.run import show_plan, show_run

    config = read_pipeline(file, override or [])
    if dry_run:
        show_plan(config, until=until, as_json=json)
        return
    with show.Reporter() as report, show.stopping("run the same command again"):
        show_run(config, report, until=until, as_json=json)


@app.command(epilog=example("preview ws --out pictures --class cat --rejected"))
# Long: most of it is its options.
def preview(
    workspace: Given,
    out: Annotated[
        Path, typer.Option(metavar="DIR", parser=typed_path, help="Folder for the pictures.")
    ],
    rejected: Annotated[
        bool, typer.Option("--rejected", help="Show rejected labels only.")
    ] = False,
    only: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="Show one class only.", autocompletion=classes
        ),
    ] = None,
    layer: Annotated[
        str | None,
        typer.Option(
            metavar="LAYER",
            help="Layer to show; the newest with labels by default.",
            autocompletion=layers,
        ),
    ] = None,
    images: Annotated[int, typer.Option(min=0, help="Images to draw at most.")] = 12,
    crops: Annotated[int, typer.Option(min=1, help="Crops of a kind on a sheet at most.")] = 48,
    source_root: SourceRoot = None,
    json: Json = False,
) -> None:
    """Draw images with their labels, and sheets of kept and rejected crops with the reasons."""
    from autolabel.report.preview import preview as draw
    from autolabel.stages.labels import chosen_labels
    from autolabel.stages.running import existing_root

    home = existing(workspace)
    move_source(home, source_root)
    labels = chosen_labels(home, layer, allow_unfinished=True, flag="--layer", say=show.message)
    ontology = labels.ontology
    if only is not None and only not in ontology.names:
        raise UsageError(
            f"there is no class {only!r}", hint=suggest(only, ontology.names, "the classes are")
        )
    done = draw(
        labels.layer, ontology, existing_root(home), out,
        rejected=rejected, only=only, images=images, crops=crops,
    )  # fmt: skip
    show.previewed(done, json)


@app.command(epilog=example("status ws --errors"))
def status(
    workspace: Given,
    errors: Annotated[
        bool, typer.Option("--errors", help="Name every file that failed, with the reason.")
    ] = False,
    json: Json = False,
) -> None:
    """Show layers, photos, classes, students and exports, and what is stale or unfinished."""
    from autolabel.cli.show_status import status as show_status
    from autolabel.cli.state import status_of

    show_status(status_of(existing(workspace), errors=errors), json)
