"""Which workspace a command means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from autolabel.cli import show
from autolabel.errors import AutolabelError, UsageError

if TYPE_CHECKING:
    from autolabel.store import Workspace


def needed(path: Path | None) -> Workspace:
    """Return the workspace that is named, which need not be there."""
    from autolabel.store import Workspace

    if path is None:
        raise UsageError("no workspace is named", hint="add --workspace FOLDER")
    return Workspace(path)


def existing(path: Path) -> Workspace:
    """Return a workspace that is there; files in it that are not ours are said."""
    from autolabel.store import Workspace

    workspace = Workspace(path)
    if not workspace.layers():
        missing = "is not a workspace" if path.is_dir() else "does not exist"
        raise UsageError(
            f"{path} {missing}", hint=f"make one: autolabel ingest PHOTOS --workspace {path}"
        )
    for stray in workspace.check():
        show.message(f"warning: {path / stray} is not a shard of ours and is left alone")
    return workspace


def source_or_workspace(source: list[str], workspace: Path | None) -> Workspace:
    """Return the workspace that is given in place of photos, or the one that they go into."""
    from autolabel.store import Workspace

    first = Workspace(Path(source[0]))
    if first.layer("images").exists:
        if len(source) > 1 or workspace not in (None, first.path):
            raise UsageError(
                f"{source[0]} is a workspace itself",
                hint=f"autolabel detect {source[0]} works on it; leave out the rest",
            )
        return first
    if workspace is None and first.layer("scan").exists:
        from autolabel.stages.history import command

        raise AutolabelError(
            f"{source[0]} is unfinished: ingest was stopped",
            hint=f"run {command(first, first.layer('images'))}",
        )
    if workspace is None:
        raise UsageError(
            f"{source[0]} is not a workspace",
            hint=f"autolabel detect {source[0]} --workspace FOLDER makes one and ingests it",
        )
    return Workspace(workspace)


def move_source(workspace: Workspace, root: Path | None) -> None:
    """Note where the images' folder is now, if that is given."""
    if root is None:
        return
    if not root.is_dir():
        raise UsageError(f"{root} is not a folder", hint="--source-root names the images' folder")
    with workspace.lock():
        workspace.set_source_root(root.resolve())
