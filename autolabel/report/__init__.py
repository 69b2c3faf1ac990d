"""One page that tells a person whether to trust the labels and the small detector.

It is one HTML file: no script, nothing from elsewhere, pictures inside, of a bounded size.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from autolabel.config import ReportConfig
from autolabel.ontology import Ontology
from autolabel.report.facts import gather
from autolabel.report.page import render
from autolabel.store import Layer, Workspace, not_writable, write_atomic

__all__ = ["Reported", "write_report"]


@dataclass(frozen=True)
class Reported:
    """What was written.

    Attributes:
        out: the page.
        size: its bytes.
        pictures_left_out: pictures for which there was no room.
        photos_gone: photos that could not be read.
        verdict: its two sentences.
    """

    out: Path
    size: int
    pictures_left_out: int
    photos_gone: int
    verdict: str


def write_report(
    workspace: Workspace, layer: Layer, ontology: Ontology, config: ReportConfig
) -> Reported:
    """Write the page about a layer of labels.

    Evaluation, students and photos are shown as far as they are there; what is missing is said.

    Raises:
        AutolabelError: the layer is damaged, or the page cannot be written.
    """
    facts = gather(workspace, layer, ontology, config)
    page = render(facts).encode("utf-8", "replace")
    out = Path(config.out) if config.out else workspace.path / "report" / "report.html"
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(out, page)
    except OSError as e:
        raise not_writable(out, e) from e
    sentences = " ".join(facts.verdict.sentences)
    return Reported(out, len(page), facts.left_out, len(facts.gone), sentences)
