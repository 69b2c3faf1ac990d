"""What was measured before: the result that a workspace keeps, and whether it is current."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from pydantic import ValidationError

from autolabel.config import EngineConfig, EvaluateConfig
from autolabel.errors import AutolabelError
from autolabel.evaluate.entries import Entries
from autolabel.metrics.result import RESULT, Evaluation
from autolabel.store import Workspace, is_current, read_note, write_atomic


def key_of(entries: Entries, config: EvaluateConfig, engine: EngineConfig) -> str:
    """Return a hash that changes when anything does that is measured, or how it is."""
    parts = [f"{one.name} {one.layer.fingerprint()} {one.threshold}" for one in entries.all]
    parts += [config.model_dump_json(), engine.device, str(engine.batch_size)]
    parts += [_stamp(Path(path)) for path in (config.truth, config.reference) if path]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def _stamp(truth: Path) -> str:
    """Return what changes when the hand labels do."""
    files = sorted(truth.rglob("*")) if truth.is_dir() else [truth]
    stats = [(str(p), p.stat().st_size, p.stat().st_mtime_ns) for p in files if p.is_file()]
    return json.dumps(stats)


def read(workspace: Workspace, key: str) -> Evaluation | None:
    """Return the result that is kept under `key`; None where there is none.

    A file that is damaged as a whole, or that an older version wrote, has none.

    Raises:
        AutolabelError: something else has changed the result.
    """
    path = workspace.path / RESULT
    if not is_current(path, {"key": key}):
        return None
    try:
        return Evaluation.model_validate(read_note(path).get("result"))
    except ValidationError:
        raise AutolabelError(
            f"{path} is damaged", hint="delete it, and run the same command again"
        ) from None


def write(workspace: Workspace, key: str, result: Evaluation) -> None:
    """Keep a result under `key`, in the place of the one before."""
    path = workspace.path / RESULT
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"key": key, "result": result.as_json()}, indent=1, ensure_ascii=False)
    write_atomic(path, text.encode())
