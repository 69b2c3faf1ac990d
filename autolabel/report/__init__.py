"""One page that tells a person whether to trust the labels and the small detector.

It is one HTML file: no script, nothing from elsewhere, pictures inside, of a bounded size.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from autolabel import __version__, store
from autolabel.config import ReportConfig
from autolabel.corrections.decisions import Decisions
from autolabel.errors import UsageError
from autolabel.metrics.result import RESULT
from autolabel.ontology import Ontology
from autolabel.reading import open_regular, read_regular
from autolabel.report.page.context import read_context
from autolabel.report.page.render import render
from autolabel.store import Layer, Workspace, not_writable, write_atomic

__all__ = ["ReportResult", "is_current", "write_report"]

LAST_LINE = "last line"
MARK = "<!-- made of {} -->\n"
"""The last line of a page, with the SHA-256 of what it was made of."""


@dataclass(frozen=True)
class ReportResult:
    """What was written.

    Attributes:
        out: the page.
        size: its bytes.
        pictures_left_out: pictures for which there was no room.
        photos_gone: photos that could not be read.
        conclusions: its two sentences.
    """

    out: Path
    size: int
    pictures_left_out: int
    photos_gone: int
    conclusions: str


def write_report(
    workspace: Workspace, layer: Layer, ontology: Ontology, config: ReportConfig
) -> ReportResult:
    """Write the page about a layer of labels.

    Evaluation, students and photos are shown as far as they are there; what is missing is said.

    Raises:
        AutolabelError: the layer is damaged, or the page cannot be written.
    """
    if _out(workspace, config).is_dir():
        raise UsageError(
            f"{_out(workspace, config)} is a folder, and the report is a file",
            hint="name a file in it: --out FOLDER/report.html",
        )
    mark = _mark(workspace, layer, config)
    context = read_context(workspace, layer, ontology, config)
    page = render(context).encode("utf-8", "replace") + mark
    out = _out(workspace, config)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, page)
    except OSError as e:
        raise not_writable(out, e) from e
    sentences = " ".join(context.conclusions.sentences)
    return ReportResult(out, len(page), context.left_out, len(context.gone), sentences)


def is_current(workspace: Workspace, layer: Layer, config: ReportConfig) -> Path | None:
    """Return the page, where it is just what `write_report` would write from the same photos."""
    out, binding = _out(workspace, config), {LAST_LINE: _mark(workspace, layer, config)}
    return out if store.is_current(out, binding, _read_last_line) else None


def _read_last_line(page: Path) -> dict[str, bytes]:
    """Return as much of a page's end as a mark has, which is what it is bound to."""
    try:
        with open_regular(page) as file:
            file.seek(-len(MARK.format("0" * 64)), os.SEEK_END)
            return {LAST_LINE: file.read()}
    except OSError:
        return {}


def _out(workspace: Workspace, config: ReportConfig) -> Path:
    return Path(config.out) if config.out else workspace.path / "report" / "report.html"


def _mark(workspace: Workspace, layer: Layer, config: ReportConfig) -> bytes:
    """Return a comment for the page's end, with a hash of what the page was made of."""
    sha = hashlib.sha256(f"{__version__} {config.model_dump_json()} {layer.name}".encode())
    for state in workspace.states():
        sha.update(f"{state.layer.name} {state.missing} {state.stale} ".encode())
        sha.update(state.layer.fingerprint().encode())
    root = workspace.source_root
    sha.update(f"{root} {root.is_dir()}".encode())
    sha.update(Decisions(workspace.path).digest().encode())
    files = (RESULT, "pipeline.yaml")
    for path in (*(workspace.path / f for f in files), *workspace.path.glob("train/*/run.json")):
        try:
            sha.update(read_regular(path))
        except OSError:
            sha.update(b"-")
    return MARK.format(sha.hexdigest()).encode()
