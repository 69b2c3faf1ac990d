"""The commands that run a stage. Each imports what it runs only when it runs: help stays quick."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from autolabel.cli import show
from autolabel.cli.app import app
from autolabel.cli.arguments import (
    FromLayer,
    Given,
    InWorkspace,
    Json,
    Overwrite,
    SourceRoot,
    example,
    typed,
)
from autolabel.cli.complete import layers, offer_models
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source, needed, source_or_workspace
from autolabel.config import DetectConfig, EngineConfig, FilterConfig, IngestConfig
from autolabel.stages.table import STAGES, StageEntry

__all__ = ["app"]

if TYPE_CHECKING:
    from autolabel.stages.running import StageResult
    from autolabel.store import Workspace


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
# Long: most of it is its options.
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
        done = STAGES["filter"].run(
            home, config, engine, from_layer=from_layer, overwrite=overwrite, report=report
        )
    _finished("filter", done, home, json)


def stage_command(entry: StageEntry) -> Callable[..., None]:
    """Return the command of a stage that reads a layer and needs no arguments of its own."""
    first, *others = entry.reads
    usual = None if others else first
    told = f"Layer to work on; {', else '.join([f'{first} by default', *others])}."
    named = typer.Option("--from", metavar="LAYER", autocompletion=layers, help=told)

    def command(
        workspace: Given,
        from_layer: str | None = usual,
        source_root: SourceRoot = None,
        overwrite: Overwrite = False,
        json: Json = False,
        *,
        config: Any,
        engine: EngineConfig,
    ) -> None:
        home = existing(workspace)
        with show.Reporter() as report, show.stopping("run the same command again"):
            move_source(home, source_root)
            done = entry.run(
                home, config, engine, from_layer=from_layer, overwrite=overwrite, report=report
            )
        _finished(entry.name, done, home, json)

    command.__name__, command.__doc__ = entry.name, entry.about
    needless = set() if entry.models or entry.pixels else {"device", "batch_size", "workers"}
    command.__annotations__ |= {
        "config": entry.config,
        "engine": Annotated[EngineConfig, needless],
        "from_layer": FromLayer if usual else Annotated[str | None, named],
    }
    return expand(command)


def brought(name: str) -> TyperCommand | None:
    """Return the command of a stage that another package brings; None where there is none."""
    if name not in STAGES:
        return None
    entry = STAGES[name]
    offer_models(entry)
    alone = typer.Typer(add_completion=False, rich_markup_mode="markdown")
    alone.command(name, epilog=example(f"{name} ws"))(stage_command(entry))
    made = typer.main.get_command(alone)
    return made if isinstance(made, TyperCommand) else None


app.command("refine", epilog=example("refine ws --model sam2.1-hiera-tiny"))(
    stage_command(STAGES["refine"])
)
app.command("relabel", epilog=example("relabel ws --rename puppy=dog --drop smudge"))(
    stage_command(STAGES["relabel"])
)


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
