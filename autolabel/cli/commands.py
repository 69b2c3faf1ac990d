"""The commands. Each imports what it runs only when it runs, so that help stays quick."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel import __version__
from autolabel.cli import show
from autolabel.cli.arguments import (
    AllowUnfinished,
    FromLayer,
    Given,
    InWorkspace,
    Json,
    Overwrite,
    SourceRoot,
    example,
    typed,
    typed_path,
)
from autolabel.cli.commands_models import catalogue
from autolabel.cli.complete import choices, classes, layers
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source, needed, source_or_workspace
from autolabel.config import (
    STEPS,
    DetectConfig,
    EngineConfig,
    EvaluateConfig,
    ExportConfig,
    FilterConfig,
    IngestConfig,
    RefineConfig,
    ReportConfig,
    TrainConfig,
    load_pipeline,
)
from autolabel.errors import AutolabelError, UsageError, suggest

if TYPE_CHECKING:
    from autolabel.stages.running import StageResult
    from autolabel.store import Workspace

app = typer.Typer(
    name="autolabel",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)


app.add_typer(catalogue, name="models")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"autolabel {__version__}")
        raise typer.Exit


@app.callback(epilog=example("detect photos --workspace ws --prompt cat"))
def autolabel(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Never touch the network: models must be on disk. Before the command: "
            "`autolabel --offline detect …`. HF_HUB_OFFLINE=1 does the same.",
        ),
    ] = False,
) -> None:
    """From a folder of raw images and a few words to a training dataset.

    Pretrained models are the annotation team: **ingest** images, **detect** what the prompts name,
    **refine** boxes to masks, **filter** out what does not belong, **export** the labels, **train**
    a small detector on them, **evaluate** both against hand labels and **report** on one page.
    **run** does all of it from one file.
    """
    if offline:
        from autolabel.registry import hub

        hub.offline()


@app.command(epilog=example("ingest photos --workspace ws --holdout hand-labelled"))
@expand
def ingest(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            parser=typed,
            help="Files, folders, globs, a .txt with one path a line, or - for such a list on "
            "standard input.",
        ),
    ],
    workspace: InWorkspace = None,
    overwrite: Overwrite = False,
    json: Json = False,
    *,
    config: Annotated[IngestConfig, {"source"}],
    engine: Annotated[EngineConfig, {"device", "batch_size"}],
) -> None:
    """Add images to a workspace, and mark repeats, leaks and files that cannot be read."""
    from autolabel.stages.ingest import ingest as ingest_photos

    home = needed(workspace)
    given = config.model_fields_set | {"source"}
    config = IngestConfig.model_construct(given, **{**dict(config), "source": tuple(source)})
    with show.Reporter() as report, show.stopping("run the same command again"):
        done = ingest_photos(home, config, engine, overwrite=overwrite, inherit=True, report=report)
    guarded = {"held_out": done.held_out, "near_held_out": done.near_held_out}
    _finished("ingest", done, home, json, guarded)


@app.command(epilog=example('detect ws --prompt cat --prompt "dog=dog, puppy"'))
@expand
def detect(
    source: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE_OR_WS",
            parser=typed,
            help="A workspace, or images to ingest into --workspace.",
        ),
    ],
    workspace: InWorkspace = None,
    from_layer: FromLayer = "images",
    source_root: SourceRoot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    *,
    config: DetectConfig,
    engine: EngineConfig,
) -> None:
    """Find what the prompts name: text prompts to boxes."""
    from autolabel.cli.state import detected, state_of_layer
    from autolabel.stages.table import STAGES

    home = source_or_workspace(source, workspace)
    if config.prompt or config.ontology is not None:
        config.resolve_ontology()  # a typo should not cost an ingest
    with show.Reporter() as report, show.stopping("run the same command again"):
        if home.path not in map(Path, source):
            photos = IngestConfig(source=tuple(source))
            STAGES["ingest"].run(home, photos, engine, inherit=True, report=report)
        move_source(home, source_root)
        done = STAGES["detect"].run(
            home, config, engine, from_layer=from_layer, overwrite=overwrite, report=report
        )
        unseen = detected(home, done, config, engine)
    if json:
        show.data({"detect": {**state_of_layer(home, "detect"), "unseen": unseen}})


@app.command(epilog=example("filter ws --min-side 8 --clip clip-vit-base-patch32 --clip-class"))
@expand
def filter(
    workspace: Given,
    from_layer: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="LAYER",
            autocompletion=layers,
            help="Layer whose labels to filter; refine by default, else detect.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show what each rule would reject; no label is changed. Crops that are embedded "
            "for it are not embedded again.",
        ),
    ] = False,
    source_root: SourceRoot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    *,
    config: FilterConfig,
    engine: EngineConfig,
) -> None:
    """Reject labels that do not belong, each with its reason: geometry, CLIP, DINOv2.

    Without a rule, every label stays. Crops are embedded once per model; changing a threshold runs
    no model.
    """
    from autolabel.cli.overview import standing
    from autolabel.stages import filter as filtering

    home = existing(workspace)
    with show.Reporter() as report, show.stopping("run the same command again"):
        if dry_run:
            trials = filtering.try_rules(home, config, engine, from_layer=from_layer, report=report)
            source = filtering.source_of(home, config, from_layer)
            show.trials(trials, standing(source), json)
            return
        move_source(home, source_root)
        done = filtering.filter_labels(
            home, config, engine, from_layer=from_layer, overwrite=overwrite, report=report
        )
    _finished("filter", done, home, json)


@app.command(epilog=example("refine ws --model sam2.1-hiera-tiny"))
@expand
def refine(
    workspace: Given,
    from_layer: FromLayer = "detect",
    source_root: SourceRoot = None,
    overwrite: Overwrite = False,
    json: Json = False,
    *,
    config: RefineConfig,
    engine: EngineConfig,
) -> None:
    """Turn the kept boxes into masks."""
    from autolabel.stages.table import STAGES

    home = existing(workspace)
    with show.Reporter() as report, show.stopping("run the same command again"):
        move_source(home, source_root)
        done = STAGES["refine"].run(
            home, config, engine, from_layer=from_layer, overwrite=overwrite, report=report
        )
    _finished("refine", done, home, json)


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
    """Write the kept labels as a COCO or YOLO dataset."""
    from autolabel.pipeline.products import export_labels

    home = existing(workspace)
    move_source(home, source_root)
    done, labels = export_labels(home, config, allow_unfinished=allow_unfinished, say=show.message)
    show.exported(done, json, **labels.counts())


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
            new.write(starter(file.name))
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
            metavar="STEP", help="Stop after this step.", autocompletion=choices(lambda: STEPS)
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

    config = load_pipeline(file, override or [])
    if dry_run:
        show_plan(config, until=until, as_json=json)
        return
    with show.Reporter() as report, show.stopping("run the same command again"):
        show_run(config, report, until=until, as_json=json)


@app.command(epilog=example("preview ws --out pictures --class cat --rejected"))
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


def _finished(
    stage: str,
    done: StageResult,
    workspace: Workspace,
    json: bool,
    also: dict[str, int] | None = None,
) -> None:
    from autolabel.cli.state import finished, state_of_layer

    finished(stage, done, workspace)
    if json:
        name = done.layer.name
        show.data({name: state_of_layer(workspace, name) | (also or {})})
