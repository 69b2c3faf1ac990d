"""The folder of one student: how its training goes on after a kill, and how it is replaced.

A training works in ``train/NAME``, or in ``train/.NAME.next`` while a complete student has that
place, and is swapped in when it is complete. ``run.json`` says what a folder is before anything
else is written to it. All that is needed to go on lies in one
file, written atomically at the end of each epoch.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError
from autolabel.store import (
    FolderSwap,
    Workspace,
    changes,
    is_current,
    not_writable,
    read_note,
    write_atomic,
)

COMPLETE, UNFINISHED = "complete", "unfinished"
RUN, METRICS, LOG, BEST, LAST = "run.json", "metrics.csv", "train.log", "best.pt", "last.pt"
STATE = "state.pt"
"""What an unfinished training goes on from."""
DATASET = "dataset"
"""Folder of the exported images, while training lasts."""
_SAID = {"labels": "other labels"}


def read_run(folder: Path) -> dict[str, Any]:
    """Return what ``run.json`` notes; empty where there is none or it is damaged."""
    return read_note(folder / RUN)


def labels_changed(workspace: Workspace, run: Mapping[str, Any]) -> bool:
    """Say whether the labels of this workspace that a student learned from are others by now."""
    name, learned = run.get("layer"), run.get("layer_fingerprint")
    if not name or not learned:
        return False
    layer = workspace.layer(str(name))
    return not layer.exists or layer.fingerprint() != learned


def threshold_of(run: Mapping[str, Any]) -> float | None:
    """Return the operating threshold that ``run.json`` holds; None where it holds none."""
    chosen = run.get("threshold")
    score = chosen.get("score") if isinstance(chosen, dict) else None
    return float(score) if isinstance(score, int | float) and 0 <= score <= 1 else None


def write_run(folder: Path, run: Mapping[str, Any]) -> None:
    """Write ``run.json`` atomically."""
    text = json.dumps(run, indent=2, ensure_ascii=False) + "\n"
    write_atomic(folder / RUN, text.encode())


def write_metrics(folder: Path, rows: Sequence[Mapping[str, float | int | None]]) -> None:
    """Write ``metrics.csv``: one row per epoch."""
    if not rows:
        return
    stream = io.StringIO()
    # The losses are known by name only once the first epoch is over.
    writer = csv.DictWriter(stream, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in row.items()} for row in rows)
    write_atomic(folder / METRICS, stream.getvalue().encode())


def is_complete(
    folder: Path, binding: Mapping[str, Any] | None = None, *, request: str | None = None
) -> bool:
    """Say whether a whole training is there, made from just this (or from anything)."""
    asked = {"state": COMPLETE, "binding": binding, "request": request}
    wanted = {key: value for key, value in asked.items() if value is not None}
    return is_current(folder / RUN, wanted) and (folder / BEST).is_file()


def swap_of(final: Path) -> FolderSwap:
    """Return the swap that replaces a student; a successor that is complete is whole."""
    return FolderSwap(final, RUN, is_complete)


@contextmanager
def held(final: Path) -> Iterator[None]:
    """Hold a student's folder for training, and finish or undo what a kill left half moved.

    Raises:
        AutolabelError: another training holds it, or it cannot be written.
    """
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(final.parent / f".{final.name}.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise AutolabelError(
            f"another autolabel is training {final}", hint="wait until it has finished"
        ) from None
    except OSError as e:
        raise not_writable(final.parent, e) from e
    try:
        swap_of(final).recover()
        yield
    finally:
        lock.release()


def tidy(final: Path) -> None:
    """Remove what a kill left beside or in a complete student; does nothing where that fails."""
    if (final / STATE).exists() or swap_of(final).has_left_something:
        with suppress(AutolabelError, OSError), held(final):
            (final / STATE).unlink(missing_ok=True)


def begin(final: Path, binding: Mapping[str, Any], *, overwrite: bool) -> Path:
    """Return the folder to train in: a new one, or that of a training that was stopped.

    It holds ``run.json`` with the binding already, so that a stop at any later moment leaves a
    folder that says what it is.

    Raises:
        AutolabelError: the folder holds other work, an epoch at least, and `overwrite` is False.
        OSError: it cannot be written.
    """
    swap, run = swap_of(final), read_run(final)
    if run.get("binding") != binding:
        learned = run.get("state") == COMPLETE or (final / STATE).exists()
        if run and learned and not overwrite:
            changed = "; ".join(changes(run.get("binding") or {}, binding, _SAID))
            raise AutolabelError(
                f"{final.parent.name}/{final.name} was trained with {changed}",
                hint="pass --overwrite to train it anew, or --name for another one",
            )
        if not run and _is_foreign(final):
            raise AutolabelError(
                f"{final} holds files, but no {RUN} that says what they are",
                hint="move that folder away, or pass --name for another one",
            )
    folder = swap.next if run.get("state") == COMPLETE else final
    if folder.exists() and not is_current(folder / RUN, {"binding": binding}):
        swap.discard(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if not read_run(folder):
        write_run(folder, {"state": UNFINISHED, "binding": binding})
    return folder


def _is_foreign(folder: Path) -> bool:
    """Say whether there is more than what a stop leaves before the first ``run.json`` is whole."""
    return folder.exists() and any(
        not (p.name.startswith(".") and RUN in p.name and p.is_file()) for p in folder.iterdir()
    )


def finish(folder: Path, final: Path, run: Mapping[str, Any]) -> None:
    """Drop what only training needed, note that the student is complete, and put it in its place.

    Raises:
        OSError: something cannot be written or moved; the same command finishes it.
    """
    shutil.rmtree(folder / DATASET, ignore_errors=True)
    write_run(folder, {**run, "state": COMPLETE})
    settle(folder, final)


def settle(folder: Path, final: Path) -> None:
    """Put a complete student in the place of the one before.

    Raises:
        OSError: something cannot be moved.
    """
    (folder / STATE).unlink(missing_ok=True)
    swap = swap_of(final)
    if folder != final:
        swap.publish()
    elif swap.next.exists():
        swap.discard(swap.next)
