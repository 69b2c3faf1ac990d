"""The folder of one student: how its training goes on after a kill, and how it is replaced.

A training works in ``train/NAME``, or in ``train/.NAME.next`` while a complete student has that
place, and moves there when it is complete. ``run.json`` says what a folder is before anything else
is written to it, and goes last where a folder is removed. All that is needed to go on lies in one
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
from autolabel.reading import read_json
from autolabel.store import not_writable, write_atomic

COMPLETE, UNFINISHED = "complete", "unfinished"
RUN, METRICS, LOG, BEST, LAST = "run.json", "metrics.csv", "train.log", "best.pt", "last.pt"
STATE = "state.pt"
"""What an unfinished training goes on from."""
DATASET = "dataset"
"""Folder of the exported images, while training lasts."""


def read_run(folder: Path) -> dict[str, Any]:
    """``run.json``; empty where there is none or it is damaged."""
    try:
        run = read_json(folder / RUN)
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


def threshold_of(run: Mapping[str, Any]) -> float | None:
    """The operating threshold that ``run.json`` holds; None where it holds none."""
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
    """Whether a whole training is there, made from just this (or from anything)."""
    run = read_run(folder)
    whole = run.get("state") == COMPLETE and (folder / BEST).is_file()
    asked = {"binding": binding, "request": request}
    return whole and all(run.get(key) == value for key, value in asked.items() if value is not None)


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
        _recover(final)
        yield
    finally:
        lock.release()


def tidy(final: Path) -> None:
    """Remove what a kill left beside or in a complete student; does nothing where that fails."""
    litter = [final / STATE, *(_beside(final, kind) for kind in ("old", "gone"))]
    if any(path.exists() for path in litter):
        with suppress(AutolabelError, OSError), held(final):
            (final / STATE).unlink(missing_ok=True)


def _recover(final: Path) -> None:
    """Finish or undo what a kill left half moved or half removed."""
    shutil.rmtree(_beside(final, "gone"), ignore_errors=True)
    old, fresh = _beside(final, "old"), _beside(final, "next")
    if old.exists():
        if not final.exists():
            (fresh if is_complete(fresh) else old).rename(final)
        shutil.rmtree(old, ignore_errors=True)


def begin(final: Path, binding: Mapping[str, Any], *, overwrite: bool) -> Path:
    """The folder to train in: a new one, or that of a training that was stopped.

    It holds ``run.json`` with the binding already, so that a stop at any later moment leaves a
    folder that says what it is.

    Raises:
        AutolabelError: the folder holds other work, an epoch at least, and `overwrite` is False.
        OSError: it cannot be written.
    """
    fresh = _beside(final, "next")
    run = read_run(final)
    if run.get("binding") != binding:
        learned = run.get("state") == COMPLETE or (final / STATE).exists()
        if run and learned and not overwrite:
            changed = "; ".join(differences(run.get("binding") or {}, binding))
            raise AutolabelError(
                f"{final.parent.name}/{final.name} was trained with {changed}",
                hint="pass --overwrite to train it anew, or --name for another one",
            )
        if not run and _is_foreign(final):
            raise AutolabelError(
                f"{final} holds files, but no {RUN} that says what they are",
                hint="move that folder away, or pass --name for another one",
            )
    folder = fresh if run.get("state") == COMPLETE else final
    if folder.exists() and read_run(folder).get("binding") != binding:
        _discard(folder, final)
    folder.mkdir(parents=True, exist_ok=True)
    if not read_run(folder):
        write_run(folder, {"state": UNFINISHED, "binding": binding})
    return folder


def _is_foreign(folder: Path) -> bool:
    """Whether there is more than what a stop leaves before the first ``run.json`` is whole."""
    return folder.exists() and any(
        not (p.name.startswith(".") and RUN in p.name and p.is_file()) for p in folder.iterdir()
    )


def _discard(folder: Path, final: Path) -> None:
    """Remove a folder so that a kill never leaves a part of it under its name."""
    gone = _beside(final, "gone")
    folder.rename(gone)
    shutil.rmtree(gone)


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
    if folder == final:
        shutil.rmtree(_beside(final, "next"), ignore_errors=True)
        return
    old = _beside(final, "old")
    if final.exists():
        final.rename(old)
    folder.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between two bindings, in words: ``epochs 10, not 20``."""
    flat_old, flat_new = _flat(old), _flat(new)
    keys = [k for k in flat_old | flat_new if flat_old.get(k) != flat_new.get(k)]
    return [
        "other labels" if k == "labels" else f"{k} {flat_old.get(k)}, not {flat_new.get(k)}"
        for k in keys
    ]


def _flat(binding: Mapping[str, Any]) -> dict[str, Any]:
    rest = {k: v for k, v in binding.items() if k != "settings"}
    return {**(binding.get("settings") or {}), **rest}


def _beside(final: Path, kind: str) -> Path:
    return final.with_name(f".{final.name}.{kind}")
