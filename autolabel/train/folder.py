"""The folder of one student: how its training goes on after a kill, and how it is replaced.

A training works in ``train/NAME``, or in ``train/.NAME.next`` while a complete student has that
place, and moves there when it is complete. All that is needed to go on lies in one file, written
atomically at the end of each epoch.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from autolabel.errors import AutolabelError
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
        run = json.loads((folder / RUN).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return run if isinstance(run, dict) else {}


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
        old, fresh = _beside(final, "old"), _beside(final, "next")
        if old.exists():
            if not final.exists():
                (fresh if is_complete(fresh) else old).rename(final)
            shutil.rmtree(old, ignore_errors=True)
        yield
    finally:
        lock.release()


def begin(final: Path, binding: Mapping[str, Any], *, overwrite: bool) -> Path:
    """The folder to train in: a new one, or that of a training that was stopped.

    Raises:
        AutolabelError: the folder holds other work and `overwrite` is False.
    """
    fresh = _beside(final, "next")
    run = read_run(final)
    if run.get("binding") != binding:
        if run and not overwrite:
            changed = "; ".join(differences(run.get("binding") or {}, binding))
            raise AutolabelError(
                f"{final.parent.name}/{final.name} was trained with {changed}",
                hint="pass --overwrite to train it anew, or --name for another one",
            )
        if final.exists() and not run and any(final.iterdir()):
            raise AutolabelError(
                f"{final} holds files, but no {RUN} that says what they are",
                hint="move that folder away, or pass --name for another one",
            )
    folder = fresh if run.get("state") == COMPLETE else final
    if folder.exists() and read_run(folder).get("binding") != binding:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def finish(folder: Path, final: Path) -> None:
    """Drop what only training needed, and put a successor in the place of the student before."""
    (folder / STATE).unlink(missing_ok=True)
    shutil.rmtree(folder / DATASET, ignore_errors=True)
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
