"""With what, when and how the page and the labels were made."""

from __future__ import annotations

import importlib.metadata
import platform
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from autolabel import __version__
from autolabel.metrics.result import Evaluation
from autolabel.reading import LARGEST_YAML, read_regular
from autolabel.report.results import Training
from autolabel.stages.history import commands, train_command
from autolabel.store import Layer, Workspace

_PACKAGES = ("torch", "transformers", "ultralytics", "supervision", "pycocotools")


@dataclass(frozen=True)
class Provenance:
    """With what, when and how the page and the labels were made."""

    date: str
    versions: dict[str, str]
    commands: tuple[str, ...]
    pipeline: str


def read_provenance(
    workspace: Workspace, layer: Layer, measured: Evaluation | None, trainings: Sequence[Training]
) -> Provenance:
    """Read when and by what the layer, the students and the last evaluation were made."""
    lines = commands(workspace, layer)
    for training in trainings:
        if isinstance(settings := training.run.get("settings"), dict):
            lines.append(train_command(workspace, settings))
    home = str(workspace.path)
    if measured is not None:
        lines.append(shlex.join(["autolabel", "evaluate", home, "--truth", measured.truth]))
    lines.append(shlex.join(["autolabel", "report", home]))
    versions = {"autolabel": __version__, "Python": platform.python_version()}
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return Provenance(
        date=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        versions=versions,
        commands=tuple(lines),
        pipeline=_text(workspace.path / "pipeline.yaml"),
    )


def _text(path: Path) -> str:
    """Return what a file holds; nothing where it is missing or no pipeline is so large."""
    try:
        return read_regular(path, LARGEST_YAML).decode("utf-8", "replace")
    except OSError:
        return ""
