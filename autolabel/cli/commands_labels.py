"""The commands about labels that people made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from autolabel.cli import show
from autolabel.cli.arguments import Given, InWorkspace, Json, SourceRoot, example, typed_path
from autolabel.cli.commands_stages import app  # with its commands, which come first
from autolabel.cli.complete import layers
from autolabel.cli.options import expand
from autolabel.cli.places import existing, move_source, needed
from autolabel.config import EngineConfig, ImportConfig
from autolabel.errors import AutolabelError

if TYPE_CHECKING:
    from autolabel.corrections.diff import LabelDiff
    from autolabel.store import Workspace

__all__ = ["app"]

Labels = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", parser=typed_path, help="People's labels: a file or a folder."
    ),
]


@app.command("import", epilog=example("import from-cvat/annotations.xml -w ws --by anna"))
@expand
def import_(
    source: Labels,
    workspace: InWorkspace = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what the labels would change; change nothing.")
    ] = False,
    source_root: SourceRoot = None,
    json: Json = False,
    *,
    config: ImportConfig,
    engine: Annotated[EngineConfig, {"engine", "device", "batch_size"}],
) -> None:
    """Read labels that people drew or corrected, in any format, and lock what they did.

    Images match by their content, else by name. What people drew, moved, relabelled, confirmed or
    deleted stays so whatever runs later; `refine` makes masks of boxes that they drew. Each import
    is one file in `WS/decisions/`.
    """
    from autolabel.cli.show_labels import imported
    from autolabel.stages.importing import import_labels

    home = needed(workspace)
    move_source(home, source_root)
    with show.Reporter() as report, show.stopping("run the same command again"):
        done = import_labels(home, source, config, engine, dry_run=dry_run, report=report)
    imported(done, json)


@app.command(epilog=example("diff ws --a filter --b corrected --out pictures"))
def diff(
    workspace: Given,
    a: Annotated[
        str, typer.Option("--a", metavar="LAYER", help="What was.", autocompletion=layers)
    ],
    b: Annotated[
        str,
        typer.Option(
            "--b",
            metavar="LAYER|SOURCE",
            help="What is now: another layer, or labels of any format that `import` reads.",
            autocompletion=layers,
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=typed_path,
            help="Folder for pictures of what differs, both sides beside each other.",
        ),
    ] = None,
    images: Annotated[
        int, typer.Option(min=0, help="Pictures at most, those with most changes first.")
    ] = 50,
    same_px: Annotated[
        float,
        typer.Option(min=0, help="Pixels that a corner may be off for a box to be as it was."),
    ] = 1.0,
    source_root: SourceRoot = None,
    json: Json = False,
) -> None:
    """Show what was added, removed, moved and relabelled between two sets of labels.

    Kept labels are compared, image by image. A box that differs and overlaps by half or more is the
    same object, moved; with another class, relabelled. Images of a source match by their content,
    else by name.
    """
    from autolabel.cli.show_diff import difference

    home = existing(workspace)
    move_source(home, source_root)
    found = _compared(home, a, b, same_px)
    pictures = _drawn(home, found, out, images, (a, b)) if out else []
    about = {"a": a, "b": b, "out": str(out) if out else None, "pictures": pictures}
    difference(found, about, json)


def _compared(home: Workspace, a: str, b: str, same_px: float) -> LabelDiff:
    from autolabel.corrections.diff import diff_layers, diff_truth
    from autolabel.datasets.ground_truth import read_ground_truth
    from autolabel.stages.corrected import refresh
    from autolabel.stages.labels import chosen_labels

    refresh(home)  # so that there is `corrected` where people decided on something
    names = [layer.name for layer in home.layers() if not layer.holds_vectors]
    before = chosen_labels(home, _known(a, names), allow_unfinished=True, flag="--a").layer
    if b in names:
        after = chosen_labels(home, b, allow_unfinished=True, flag="--b").layer
        return diff_layers(before, after, same_px)
    if not Path(b).exists():
        _known(b, names, " nor a file or folder")
    return diff_truth(before, read_ground_truth(Path(b)), same_px)


def _known(name: str, names: list[str], nor: str = "") -> str:
    if name not in names:
        has = f"{name!r} is {'neither' if nor else 'not'} a layer with labels{nor}"
        raise AutolabelError(has, hint=f"the layers are: {', '.join(names)}")
    return name


def _drawn(
    home: Workspace, found: LabelDiff, out: Path, most: int, titles: tuple[str, str]
) -> list[str]:
    from functools import partial

    from autolabel.report.pictures.differences import draw_difference
    from autolabel.report.pictures.photo_reader import PhotoReader
    from autolabel.report.preview.folder import image_file, save_pictures
    from autolabel.stages.running import existing_root

    photos = PhotoReader(existing_root(home))
    shown = sorted(found.changed, key=lambda one: -one.changes)[:most]
    return list(
        save_pictures(
            out,
            {
                image_file(one.record, "diff"): partial(draw_difference, one, photos, titles)
                for one in shown
            },
        )
    )
